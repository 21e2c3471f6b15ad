package mlflow

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/kwtest/alone"
)

// TestKill_webhooks: after kill -9 a receiver still hears of every change that was acknowledged.
func TestKill_webhooks(t *testing.T) {
	for name, value := range map[string]string{"ALLOWED_SCHEMES": "http", "ALLOW_PRIVATE_IPS": "true", "REQUEST_TIMEOUT": "1"} {
		t.Setenv("MLFLOW_WEBHOOK_"+name, value)
	}
	heard := make(chan string, 1000)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Data struct{ Name string } }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		heard <- body.Data.Name
	}))
	defer receiver.Close()
	server := alone.Start(t, "")
	url := server.URL
	if _, err := post(url, "webhooks", fmt.Sprintf(`{"name":"w","url":%q,"secret":"s","events":[{"entity":"REGISTERED_MODEL","action":"CREATED"}]}`, receiver.URL)); err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for round := range 2 {
		var mu sync.Mutex
		var wg sync.WaitGroup
		enough := make(chan struct{})
		acknowledged := 0
		for c := range 6 {
			wg.Go(func() {
				for i := 0; ; i++ {
					name := fmt.Sprintf("m-%d-%d-%d", round, c, i)
					if _, err := post(url, "registered-models/create", fmt.Sprintf(`{"name":%q}`, name)); err != nil {
						return // the server is gone
					}
					mu.Lock()
					missing[name] = true
					if acknowledged++; acknowledged == 60 {
						close(enough)
					}
					mu.Unlock()
				}
			})
		}
		<-enough
		server.Kill()
		wg.Wait()
		server.Restart()
	}
	all := len(missing)
	deadline := time.After(time.Minute)
	for len(missing) > 0 {
		select {
		case name := <-heard:
			delete(missing, name)
		case <-deadline:
			t.Fatalf("%d of %d acknowledged changes were not delivered", len(missing), all)
		}
	}
}
