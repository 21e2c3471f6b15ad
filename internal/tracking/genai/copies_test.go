package genai

import (
	"log/slog"
	"strconv"
	"sync"
	"testing"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
)

// TestChange_copies: what one copy of the program changes of an object does not
// take back what another changes at the same moment.
func TestChange_copies(t *testing.T) {
	database := storetest.Postgres(t)
	first := start(t, database)
	other, err := db.Open(t.Context(), db.Options{Path: database.Path()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() }) // the test has ended
	second, err := New(t.Context(), Options{
		DB: other, Clock: first.o.Clock, NewID: first.o.NewID, Logger: slog.New(slog.DiscardHandler), Experiments: first.o.Experiments, Traces: first.o.Traces,
	})
	if err != nil {
		t.Fatal(err)
	}
	made := first.must("POST", "label-schemas/create", `{"experiment_id":"EXP","name":"a","type":"FEEDBACK","input":{"text":{}}}`)
	id, ok := at(made, "label_schema", "schema_id").(string)
	if !ok {
		t.Fatalf("%v", made)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 200 {
			round := strconv.Itoa(i)
			if _, err := first.updateLabel(t.Context(), &updateLabel{ID: id, Name: &round}); err != nil {
				t.Error(err)
				return
			}
			if o, err := labelKind.load(t.Context(), first.Service, "default", id); err != nil || o.Doc.Name != round {
				t.Errorf("the name is %q after it was made %q: %v", o.Doc.Name, round, err)
				return
			}
		}
	})
	wg.Go(func() {
		for i := range 200 {
			round := strconv.Itoa(i)
			if _, err := second.updateLabel(t.Context(), &updateLabel{ID: id, Instruction: &round}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	wg.Wait()
}
