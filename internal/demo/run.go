package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"time"

	"k8s.io/client-go/dynamic"

	qualityinspection "github.com/kiwerk/kiwerk/examples/quality-inspection"
	"github.com/kiwerk/kiwerk/internal/text"
)

// Names that the manifests of the example use.
const (
	endpointName = "quality-inspection"
	modelName    = "quality-inspection"
	experiment   = "quality-inspection"
	workflowName = "quality-inspection-first"
	monitorName  = "quality-inspection"
	policyName   = "quality-inspection"

	stepsKey    = "quality-inspection/steps.tar.gz"
	trainingKey = "quality-inspection/raw/training.csv"
	gateKey     = "quality-inspection/raw/gate.csv"
)

// How long the platform may take before the demo gives up. Generous: the
// bounds of the product are measured, not enforced by giving up.
const (
	pipelineLimit = 5 * time.Minute
	readyLimit    = 2 * time.Minute
	windowLimit   = 2 * time.Minute
	retrainLimit  = 5 * time.Minute
	canaryLimit   = 5 * time.Minute
)

// day is one run of the demo.
type day struct {
	cfg       Config
	platform  Platform
	text      *text.Printer
	out       io.Writer
	client    *client
	objects   *objects
	manifests fs.FS
	roles     Roles
	line      *line
	report    Report
	// v1 are the first photographs of the normal day.
	v1 []shot
	// labelled are the photographs after the change whose labels came back.
	labelled []shot
	// truth is what the people on the line report after the change.
	truth func(shot) int
	// windows that the monitor has judged before the change.
	windows int
	// decided is set when the retraining has ended.
	decided bool
}

// Run plays the day on a running platform. The report is complete when the
// error is nil; with Config.BadChallenger that means that the bad model was
// refused.
func Run(ctx context.Context, cfg Config, p Platform, out io.Writer) (*Report, error) {
	if err := cfg.complete(&p); err != nil {
		return nil, err
	}
	kube, err := dynamic.NewForConfig(p.Kube)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	manifests, err := fs.Sub(qualityinspection.Manifests, "manifests")
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	d := &day{
		cfg: cfg, platform: p, text: text.For(cfg.Lang), out: out, client: newClient(p), manifests: manifests,
		objects: &objects{client: kube, namespace: p.Namespace}, truth: trueLabel,
		report: Report{
			Namespace: p.Namespace, Endpoint: endpointName, Model: modelName, ExperimentName: experiment,
			BadChallenger: cfg.BadChallenger, SecondsStart: p.Started.Seconds(),
		},
	}
	d.line = &line{client: d.client, model: endpointName, now: cfg.Now, rng: rand.New(rand.NewPCG(cfg.Seed, 2))}
	err = d.play(ctx)
	d.report.RequestsBeforeChange, d.report.RequestsAfterChange, d.report.RequestsFailed = d.line.counts()
	d.report.RequestsTotal = d.report.RequestsBeforeChange + d.report.RequestsAfterChange
	if err == nil {
		d.table()
	}
	if cfg.Report != "" {
		if writeErr := d.report.write(cfg.Report); writeErr != nil {
			return &d.report, errors.Join(err, writeErr)
		}
		d.say(text.DemoReport, cfg.Report)
	}
	return &d.report, err
}

// play is the story of the day, one phase after the other.
func (d *day) play(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := d.cfg.Now()
	var memory *peak
	if d.platform.Memory != nil {
		memory = watchMemory(ctx, d.platform.Memory)
	}
	d.say(text.DemoTitle)
	phases := []phase{
		{text.DemoImages, &d.report.SecondsPrepare, d.prepare},
		{text.DemoPipeline, &d.report.SecondsPipeline, d.pipeline},
		{text.DemoDeploy, &d.report.SecondsDeploy, d.deployed},
		{text.DemoWatch, &d.report.SecondsMonitor, d.watchAndPolicy},
		{text.DemoBefore, &d.report.SecondsBeforeChange, d.normalDay},
		{text.DemoDrift, &d.report.SecondsUntilDrift, d.untilDrift},
		{d.labelsKey(), &d.report.SecondsLabelling, d.measureAndLabel},
	}
	if err := d.playAll(ctx, phases); err != nil {
		return err
	}
	if err := d.retrainAndMeasure(ctx); err != nil {
		return err
	}
	d.report.SecondsTotal = d.cfg.Now().Sub(began).Seconds() + d.report.SecondsStart
	if memory == nil {
		return nil
	}
	cancel()
	var err error
	d.report.PlatformRSSMB, err = memory.result()
	return err
}

// retrainAndMeasure lets the line go on while the platform retrains, compares
// and rolls out, and measures what serves in the end.
func (d *day) retrainAndMeasure(ctx context.Context) error {
	f := startFlow(ctx, d.line, d.roles.Measurement)
	err := d.playAll(ctx, []phase{{text.DemoRetrain, &d.report.SecondsRetrain, d.retrained}})
	var shares []share
	if err == nil && !d.decided {
		err = d.playAll(ctx, []phase{{text.DemoCanary, &d.report.SecondsCanary, func(ctx context.Context) (string, error) {
			// The training data have been frozen, so labels of these images can follow now.
			f.labelling.Store(true)
			var canaryErr error
			shares, canaryErr = d.canary(ctx)
			if d.report.Promoted {
				return d.text.T(text.DemoPromoted), canaryErr
			}
			return d.text.T(text.DemoRefused, d.why()), canaryErr
		}}})
	}
	shots, flowErr := f.stop()
	if err := errors.Join(err, flowErr); err != nil {
		return err
	}
	if len(shares) > 0 {
		r := &d.report
		r.CanaryShareAsked, r.CanaryShareObserved, r.CanaryRequests = observedShare(shots, shares, d.cfg.Now(), r.ModelVersionV2)
	}
	return d.playAll(ctx, []phase{{text.DemoMeasure, &d.report.SecondsMeasure, d.measureEnd}})
}

func (d *day) labelsKey() text.Key {
	if d.cfg.BadChallenger {
		return text.DemoLabelsBad
	}
	return text.DemoLabels
}

// phase is one part of the day; play says in a few words what came of it.
type phase struct {
	title   text.Key
	seconds *float64
	play    func(context.Context) (string, error)
}

func (d *day) playAll(ctx context.Context, phases []phase) error {
	for _, p := range phases {
		began := d.cfg.Now()
		title := d.text.T(p.title, d.report.ModelVersionV1)
		result, err := p.play(ctx)
		*p.seconds = d.cfg.Now().Sub(began).Seconds()
		if err != nil {
			_, _ = fmt.Fprintf(d.out, "  ✗ %s (%s)\n", title, d.text.T(text.Seconds, *p.seconds)) // the error itself is returned
			return fmt.Errorf("%s: %w", title, err)
		}
		if result != "" {
			result = ": " + result
		}
		if _, err := fmt.Fprintf(d.out, "  ✓ %s%s (%s)\n", title, result, d.text.T(text.Seconds, *p.seconds)); err != nil {
			return fmt.Errorf("writing progress: %w", err)
		}
	}
	return nil
}

func (d *day) say(key text.Key, args ...any) {
	_ = d.text.Fprintln(d.out, key, args...) // a lost progress line is no reason to stop
}

// count writes a number as people read it.
func (d *day) count(n int) string { return d.text.T(text.DemoCount, n) }

// percent writes a share as people read it.
func (d *day) percent(share float64) string { return d.text.T(text.DemoPercent, 100*share) }
