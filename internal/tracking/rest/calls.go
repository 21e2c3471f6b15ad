package rest

import (
	"context"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
)

// Call answers a request from inside the program, if the judge lets it; both are JSON objects.
type Call = func(ctx context.Context, judge server.Judge, request []byte) ([]byte, error)

// Calls are what /graphql reads, by name.
func (a *API) Calls() map[string]Call {
	return map[string]Call{
		"GetExperiment":                inside(a.getExperiment),
		"GetRun":                       inside(a.getRun),
		"SearchRuns":                   inside(a.searchRuns),
		"GetMetricHistoryBulkInterval": inside(a.historyInterval),
		"ListArtifacts":                inside(a.listRunArtifacts),
		"SearchModelVersions":          inside(a.searchVersions),
		"SearchDatasets":               inside(a.findDatasets),
	}
}

func inside[Req, Resp any, PResp interface {
	*Resp
	mlwire.Appender
}](execute func(context.Context, *Req) (PResp, error)) Call {
	return func(ctx context.Context, judge server.Judge, request []byte) ([]byte, error) {
		q := new(Req)
		if err := mlwire.Unmarshal(request, q); err != nil {
			return nil, err
		}
		if err := judge(ctx, q); err != nil {
			return nil, err
		}
		answer, err := execute(ctx, q)
		if err != nil {
			return nil, err
		}
		var w mlwire.Writer
		answer.AppendJSON(&w)
		return w.Bytes(), nil
	}
}
