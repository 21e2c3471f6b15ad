//go:build linux

package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rules of iptables-legacy are not nft's: nft does not list them, and the
// kernel asks both. They are read as that program reads them.

// legacyTables names the tables of iptables-legacy that are in use here. Asking
// for one that is not would bring it into being.
func legacyTables() ([]string, error) {
	b, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return nil, nil // a kernel without them; root of a user namespace may not ask
	}
	return strings.Fields(string(b)), err
}

// Of linux/netfilter_ipv4/ip_tables.h and x_tables.h.
const (
	iptGetInfo    = 64
	iptGetEntries = 65

	infoSize        = 84 // struct ipt_getinfo
	infoUnderflow   = 32 + 4 + 5*4
	infoTotal       = 80
	entriesHeader   = 40 // struct ipt_get_entries before its table
	entryTarget     = 88 // where struct ipt_entry has the offset of its target
	entrySize       = 112
	verdictInTarget = 32
	hookForward     = 2
	verdictDrop     = -1 // -NF_DROP - 1
	maxEntries      = 64 << 20
)

// legacyDropsForwarded tells whether the chain FORWARD of iptables-legacy drops
// what its rules do not accept.
func legacyDropsForwarded() (bool, error) {
	tables, err := legacyTables()
	if err != nil || !slices.Contains(tables, "filter") {
		return false, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return false, fmt.Errorf("read the rules of iptables-legacy: %w", err)
	}
	defer unix.Close(fd)
	info := make([]byte, infoSize)
	copy(info, "filter")
	if err := getsockopt(fd, iptGetInfo, info); err != nil {
		return false, fmt.Errorf("read the rules of iptables-legacy: %w", err)
	}
	size := binary.NativeEndian.Uint32(info[infoTotal:])
	if size > maxEntries {
		return false, fmt.Errorf("read the rules of iptables-legacy: they take %d bytes", size)
	}
	entries := make([]byte, entriesHeader+size)
	copy(entries, "filter")
	binary.NativeEndian.PutUint32(entries[32:], size)
	if err := getsockopt(fd, iptGetEntries, entries); err != nil {
		return false, fmt.Errorf("read the rules of iptables-legacy: %w", err)
	}
	return forwardPolicyDrops(info, entries)
}

// forwardPolicyDrops looks at the last entry of the chain, which is its policy.
func forwardPolicyDrops(info, entries []byte) (bool, error) {
	if len(info) < infoSize || len(entries) < entriesHeader {
		return false, errors.New("rules of iptables-legacy: too short")
	}
	at := uint64(binary.NativeEndian.Uint32(info[infoUnderflow+4*hookForward:]))
	table := entries[entriesHeader:]
	if at+entrySize > uint64(len(table)) {
		return false, errors.New("rules of iptables-legacy: the policy of FORWARD lies outside of them")
	}
	target := at + uint64(binary.NativeEndian.Uint16(table[at+entryTarget:]))
	if target+verdictInTarget+4 > uint64(len(table)) {
		return false, errors.New("rules of iptables-legacy: the policy of FORWARD has no verdict")
	}
	name, _, _ := bytes.Cut(table[target+2:target+verdictInTarget-1], []byte{0})
	if len(name) > 0 { // not the standard target, which has no name
		return false, fmt.Errorf("rules of iptables-legacy: the policy of FORWARD is %q", name)
	}
	return int32(binary.NativeEndian.Uint32(table[target+verdictInTarget:])) == verdictDrop, nil
}

func getsockopt(fd, option int, b []byte) error {
	size := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_IP, uintptr(option),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
