package gateway

import (
	"encoding/hex"
	"time"
)

// newID makes a UUID of version 7: the time in milliseconds, then chance. Such
// ids sort by time, which keeps the index of predictions compact.
func newID(now time.Time, random func(uint64) uint64) string {
	var b [16]byte
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	high, low := random(1<<12), random(1<<62)
	b[6], b[7] = 0x70|byte(high>>8), byte(high)
	for i := range 8 {
		b[8+i] = byte(low >> (56 - 8*i))
	}
	b[8] = b[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[0:8], b[0:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:36], b[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
