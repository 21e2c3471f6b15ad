package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"sync"

	"github.com/kiwerk/kiwerk/internal/atomicfile"
)

// pool hands out addresses. Its file is written before an address is used, so
// that no crash gives one to two pods.
type pool struct {
	path   string
	prefix netip.Prefix
	first  netip.Addr

	mu sync.Mutex
	s  poolState
}

// poolState is the file.
type poolState struct {
	// Last is the address given out last. The next one lies behind it, so that
	// a freed address is not used again while others still talk to it.
	Last netip.Addr            `json:"last,omitzero"`
	Used map[string]netip.Addr `json:"used"`
}

var errPoolEmpty = errors.New("no free pod address")

func openPool(path string, prefix netip.Prefix, first netip.Addr) (*pool, error) {
	p := &pool{path: path, prefix: prefix, first: first, s: poolState{Used: map[string]netip.Addr{}}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("pod addresses: %w", err)
	}
	if p.s, err = parsePool(b, prefix); err != nil {
		return nil, fmt.Errorf("pod addresses in %s: %w; stop with `kiwerk down`, remove the file and start again", path, err)
	}
	return p, nil
}

// parsePool refuses what would give wrong or double addresses.
func parsePool(b []byte, prefix netip.Prefix) (poolState, error) {
	s := poolState{}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, err
	}
	if s.Used == nil {
		s.Used = map[string]netip.Addr{}
	}
	if s.Last.IsValid() && !prefix.Contains(s.Last) {
		return s, fmt.Errorf("address %s does not lie in %s", s.Last, prefix)
	}
	owner := map[netip.Addr]string{}
	for id, a := range s.Used {
		if !prefix.Contains(a) {
			return s, fmt.Errorf("address %q of %s does not lie in %s", a, id, prefix)
		}
		if other, double := owner[a]; double {
			return s, fmt.Errorf("address %s belongs to %s and to %s", a, id, other)
		}
		owner[a] = id
	}
	return s, nil
}

// take returns the address of id, a new one if it has none.
func (p *pool) take(id string) (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a, ok := p.s.Used[id]; ok {
		return a, nil
	}
	a, err := p.next()
	if err != nil {
		return a, err
	}
	last := p.s.Last
	p.s.Used[id], p.s.Last = a, a
	if err := p.save(); err != nil {
		delete(p.s.Used, id)
		p.s.Last = last
		return a, err
	}
	return a, nil
}

// next looks for a free address behind the last one.
func (p *pool) next() (netip.Addr, error) {
	used := make(map[netip.Addr]bool, len(p.s.Used))
	for _, a := range p.s.Used {
		used[a] = true
	}
	a := p.s.Last
	for range 1 << (32 - p.prefix.Bits()) {
		if a.IsValid() {
			a = a.Next()
		}
		// The last address of a prefix means all of its hosts.
		if a.Less(p.first) || !p.prefix.Contains(a) || !p.prefix.Contains(a.Next()) {
			a = p.first
		}
		if !used[a] {
			return a, nil
		}
	}
	return a, fmt.Errorf("%w in %s: %d pods have one", errPoolEmpty, p.prefix, len(used))
}

// free gives the address of id back.
func (p *pool) free(id string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.s.Used[id]
	if !ok {
		return nil
	}
	delete(p.s.Used, id)
	if err := p.save(); err != nil {
		p.s.Used[id] = a
		return err
	}
	return nil
}

// all returns who has which address.
func (p *pool) all() map[string]netip.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make(map[string]netip.Addr, len(p.s.Used))
	for id, a := range p.s.Used {
		list[id] = a
	}
	return list
}

func (p *pool) save() error {
	b, err := json.Marshal(p.s)
	if err != nil {
		return fmt.Errorf("pod addresses: %w", err)
	}
	if err := atomicfile.Write(p.path, b, 0o600); err != nil {
		return fmt.Errorf("pod addresses: %w", err)
	}
	return nil
}
