package store

import (
	"sync"

	db "github.com/kiwerk/kiwerk/internal/store"
)

type rows = db.Rows

// keys remembers the numbers of names. Rows of run_keys are never deleted or
// changed, so what was once committed stays true.
type keys struct {
	mu     sync.RWMutex
	byName map[string]int64
	byID   map[int64]string
}

// maxKeys bounds the memory; beyond it names are looked up in the database.
const maxKeys = 100_000

func (k *keys) learn(found map[string]int64) {
	if len(found) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byName == nil || len(k.byName) > maxKeys {
		k.byName, k.byID = map[string]int64{}, map[int64]string{}
	}
	for name, id := range found {
		if k.byName[name] == id {
			continue
		}
		k.byName[name], k.byID[id] = id, name
	}
}

func (k *keys) id(name string) (int64, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	id, ok := k.byName[name]
	return id, ok
}

func (k *keys) name(id int64) (string, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	name, ok := k.byID[id]
	return name, ok
}

// intern gives the number of a name and makes one if there is none.
func (t *tx) intern(name string) (int64, error) {
	if id, err := t.keyID(name); err != nil || id != 0 {
		return id, err
	}
	var id int64
	err := t.Row("INSERT INTO run_keys(key) VALUES(?) ON CONFLICT DO NOTHING RETURNING id", name).Scan(&id)
	if db.IsNoRows(err) { // another program made it a moment ago
		return t.keyID(name)
	}
	if err == nil {
		t.found(name, id)
	}
	return id, err
}

// keyID gives the number of a name, or 0, which is none.
func (t *tx) keyID(name string) (id int64, err error) {
	if id, ok := t.s.keys.id(name); ok {
		return id, nil
	}
	if id, ok := t.interned[name]; ok {
		return id, nil
	}
	err = t.Row("SELECT id FROM run_keys WHERE key = ?", name).Scan(&id)
	if db.IsNoRows(err) {
		return 0, nil
	}
	if err == nil {
		t.found(name, id)
	}
	return id, err
}

func (t *tx) found(name string, id int64) {
	if t.interned == nil {
		t.interned = map[string]int64{}
	}
	t.interned[name] = id
}

// keyName gives the name of a number.
func (t *tx) keyName(id int64) (name string, err error) {
	name, ok := t.names[id]
	if ok {
		return name, nil
	}
	if name, ok = t.s.keys.name(id); !ok {
		if err := t.Row("SELECT key FROM run_keys WHERE id = ?", id).Scan(&name); err != nil {
			return "", err
		}
		t.s.keys.learn(map[string]int64{name: id}) // a view sees only what was committed
	}
	if t.names == nil {
		t.names = map[int64]string{}
	}
	t.names[id] = name
	return name, nil
}
