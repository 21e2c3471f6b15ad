package alone

import (
	"context"
	"fmt"
	"net/http"
	"runtime"

	"github.com/kiwerk/kiwerk/internal/buildinfo"
	"github.com/kiwerk/kiwerk/internal/server"
)

// endpoints are the routes that belong to no part of tracking.
func (s *Server) endpoints() []server.Endpoint {
	noData := server.Public("describes the server and holds no data")
	list := []server.Endpoint{
		{Method: http.MethodGet, Pattern: "/{$}", Permission: noData, Summary: "Page of addresses", Handler: http.HandlerFunc(s.page)},
		server.Typed(http.MethodGet, "/kiwerk/v1/version", noData, server.JSONCodec{}, func(context.Context, *struct{}) (*buildinfo.Info, error) {
			info := buildinfo.Get()
			return &info, nil
		}),
	}
	if s.o.Metrics {
		list = append(list, server.Endpoint{
			Method: http.MethodGet, Pattern: "/metrics", Permission: server.Can("get", "metrics"), Summary: "Metrics in Prometheus' format", Handler: http.HandlerFunc(metrics),
		})
	}
	return list
}

func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if s.o.ArtifactsOnly {
		fmt.Fprintf(w, "Kiwerk %s: artifacts for a tracking server elsewhere\n", buildinfo.Version())
		return
	}
	fmt.Fprintf(w, "Kiwerk %s: tracking and registry\n\nexport MLFLOW_TRACKING_URI=%s\n\nThere is no web page; kiwerk runs list and kiwerk models list show what is here.\n", buildinfo.Version(), s.URL())
}

// metrics of the process; a registry of Prometheus' library costs more memory than all of them.
func metrics(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	fmt.Fprintf(w, "# TYPE go_goroutines gauge\ngo_goroutines %d\n", runtime.NumGoroutine())
	fmt.Fprintf(w, "# TYPE go_memstats_heap_alloc_bytes gauge\ngo_memstats_heap_alloc_bytes %d\n", m.HeapAlloc)
	fmt.Fprintf(w, "# TYPE go_memstats_sys_bytes gauge\ngo_memstats_sys_bytes %d\n", m.Sys)
	fmt.Fprintf(w, "# TYPE go_gc_cycles_total counter\ngo_gc_cycles_total %d\n", m.NumGC)
}
