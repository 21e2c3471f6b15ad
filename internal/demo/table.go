package demo

import (
	"fmt"
	"text/tabwriter"

	"github.com/kiwerk/kiwerk/internal/text"
)

// table prints what came of the day.
func (d *day) table() {
	r := &d.report
	decision := d.text.T(text.DemoPromoted)
	if !r.Promoted {
		decision = d.text.T(text.DemoNotPromoted) + " (" + d.text.T(text.RetrainReason(r.DecisionReason)) + ")"
	}
	rows := [][2]string{
		{d.text.T(text.DemoTableWhat), d.text.T(text.DemoTableValue)},
		{d.text.T(text.DemoTableAccuracy1), d.percent(r.AccuracyV1)},
		{d.text.T(text.DemoTableAccuracyC), d.percent(r.AccuracyAfterChange)},
	}
	if r.Promoted {
		rows = append(rows, [2]string{d.text.T(text.DemoTableAccuracy2), d.percent(r.AccuracyV2AfterChange)})
	}
	rows = append(rows,
		[2]string{d.text.T(text.DemoTableWindows), d.count(r.WindowsBeforeChange)},
		[2]string{d.text.T(text.DemoTableAlarms), d.count(r.FalseAlarms)},
		[2]string{d.text.T(text.DemoTableDrift), d.count(r.PredictionsUntilDrift)},
		[2]string{d.text.T(text.DemoTableChampion), d.percent(r.ChampionScore)},
		[2]string{d.text.T(text.DemoTableChallgr), d.percent(r.ChallengerScore)},
	)
	if r.CanaryRequests > 0 {
		rows = append(rows, [2]string{
			d.text.T(text.DemoTableCanary),
			d.text.T(text.DemoTableCanaryVal, d.percent(r.CanaryShareObserved), r.CanaryRequests, d.percent(r.CanaryShareAsked)),
		})
	}
	rows = append(rows,
		[2]string{d.text.T(text.DemoTableDecision), decision},
		[2]string{d.text.T(text.DemoTableRequests), d.text.T(text.DemoTableRequestsV, r.RequestsTotal, r.RequestsFailed)},
		[2]string{d.text.T(text.DemoTableMemory), d.text.T(text.DemoMegabytes, r.PlatformRSSMB)},
		[2]string{d.text.T(text.DemoTableTime), d.text.T(text.Seconds, r.SecondsTotal)},
	)
	w := tabwriter.NewWriter(d.out, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", row[0], row[1]) // reported by Flush
	}
	_ = w.Flush() // a table that cannot be shown is no reason to fail
}
