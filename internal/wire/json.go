package wire

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"unicode/utf8"
)

func appendInteger(dst []byte, t DataType, d []byte, i int) []byte {
	le := binary.LittleEndian
	switch t {
	case Uint8:
		return strconv.AppendUint(dst, uint64(d[i]), 10)
	case Uint16:
		return strconv.AppendUint(dst, uint64(le.Uint16(d[2*i:])), 10)
	case Uint32:
		return strconv.AppendUint(dst, uint64(le.Uint32(d[4*i:])), 10)
	case Uint64:
		return strconv.AppendUint(dst, le.Uint64(d[8*i:]), 10)
	case Int8:
		return strconv.AppendInt(dst, int64(int8(d[i])), 10)
	case Int16:
		return strconv.AppendInt(dst, int64(int16(le.Uint16(d[2*i:]))), 10)
	case Int32:
		return strconv.AppendInt(dst, int64(int32(le.Uint32(d[4*i:]))), 10)
	default:
		return strconv.AppendInt(dst, int64(le.Uint64(d[8*i:])), 10)
	}
}

// appendBytes writes a string, or {"b64": …} when asked or when it is no text.
func appendBytes(dst, s []byte, asBase64 bool) []byte {
	if !asBase64 && utf8.Valid(s) {
		return appendString(dst, s)
	}
	dst = append(dst, `{"b64": "`...)
	dst = base64.StdEncoding.AppendEncode(dst, s)
	return append(dst, `"}`...)
}

const hexDigits = "0123456789abcdef"

// appendString writes a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendString(dst, s []byte) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		b := s[i]
		switch {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b == '\n':
			dst = append(dst, '\\', 'n')
		case b == '\r':
			dst = append(dst, '\\', 'r')
		case b == '\t':
			dst = append(dst, '\\', 't')
		case b < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		case b < utf8.RuneSelf:
			dst = append(dst, b)
		default:
			r, n := utf8.DecodeRune(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		i++
	}
	return append(dst, '"')
}
