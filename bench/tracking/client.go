package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:embed client.py
var clientScript []byte

// client measures what a user of the stock client waits for.
func (b *bench) client(ctx context.Context) error {
	const large = 100_000
	script := filepath.Join(b.dir, "client.py")
	if err := os.WriteFile(script, clientScript, 0o600); err != nil {
		return err
	}
	rows := map[string]*row{
		"log_metric":  {name: "log_metric, one after the other", unit: "calls/s"},
		"log_metrics": {name: "log_metrics of 10", unit: "calls/s"},
		"search_runs": {name: fmt.Sprintf("search_runs of %d runs", large), unit: "s", smaller: true, ratio: 5},
		"set_up":      {name: "set_experiment and start_run", unit: "ms", smaller: true},
	}
	experiments := map[string]string{}
	for _, t := range b.servers {
		if t.name == fasttrackml {
			continue // its client is another one
		}
		err := b.withLarge(ctx, t, large, experiments)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		err = t.run(ctx, func() error {
			for range b.o.rounds {
				c := exec.CommandContext(ctx, b.o.python, script, experiments[t.name], fmt.Sprint(large))
				c.Env = append(os.Environ(), "MLFLOW_TRACKING_URI="+t.url, "MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true")
				c.Stderr = os.Stderr
				out, err := c.Output()
				if err != nil {
					return err
				}
				var values map[string]float64
				lines := bytes.Split(bytes.TrimSpace(out), []byte("\n")) // mlflow prints, too; ours is the last
				if err := json.Unmarshal(lines[len(lines)-1], &values); err != nil {
					return fmt.Errorf("client.py printed %q: %w", out, err)
				}
				for name, v := range values {
					rows[name].add(t.name, v)
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	b.print("stock client", []*row{rows["set_up"], rows["log_metric"], rows["log_metrics"], rows["search_runs"]})
	return nil
}

// withLarge finds the experiment that scale has made, or makes it.
func (b *bench) withLarge(ctx context.Context, t *target, n int, experiments map[string]string) error {
	err := t.run(ctx, func() error {
		answer, err := t.get(ctx, fmt.Sprintf("/api/2.0/mlflow/experiments/get-by-name?experiment_name=bench-%d", n))
		if err != nil {
			if strings.Contains(err.Error(), "status 404") {
				return nil
			}
			return err
		}
		var found struct {
			Experiment struct {
				ID string `json:"experiment_id"`
			} `json:"experiment"`
		}
		err = json.Unmarshal(answer, &found)
		experiments[t.name] = found.Experiment.ID
		return err
	})
	if err != nil || experiments[t.name] != "" {
		return err
	}
	made, err := b.fillLarge(ctx, t, []int{n})
	experiments[t.name] = made[n]
	return err
}
