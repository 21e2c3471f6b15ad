package store

import (
	"cmp"
	"context"
	"errors"
	"sync"

	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// What is logged to runs comes in many small requests. Those that wait for the
// writer at the same time are written together: one look at their runs, one
// statement for all points, one for their newest. The first to wait takes all
// of them along; each is answered after the commit, and refused by itself.

// maxTogether bounds what one request takes along, in metrics, params and tags.
const maxTogether = 16_384

// entry is a request on its way.
type entry struct {
	namespace, id string
	batch         model.Batch
	err           error
	added         []model.Pair // params that the run does not have
	// alone: the requests could not be written together, so each has to try by itself.
	alone bool
	lead  chan struct{} // closed when it has to take the others along
	done  chan struct{} // closed when err or alone is set
}

func (e *entry) size() int { return 1 + len(e.batch.Metrics) + len(e.batch.Params) + len(e.batch.Tags) }

// intake is the requests that wait.
type intake struct {
	mu      sync.Mutex
	waiting []*entry
}

func (in *intake) add(e *entry) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.waiting = append(in.waiting, e); len(in.waiting) == 1 {
		close(e.lead)
	}
}

// take gives the requests that are written together and lets the first of the rest lead these.
func (in *intake) take() []*entry {
	in.mu.Lock()
	defer in.mu.Unlock()
	n, size := 0, 0
	for n < len(in.waiting) && (n == 0 || size+in.waiting[n].size() <= maxTogether) {
		size += in.waiting[n].size()
		n++
	}
	list := in.waiting[:n:n]
	if in.waiting = in.waiting[n:]; len(in.waiting) == 0 {
		in.waiting = nil
	} else {
		close(in.waiting[0].lead)
	}
	return list
}

// log writes a batch to a run.
func (s *Store) log(ctx context.Context, namespace, id string, b model.Batch) error {
	if !together(b) {
		return s.logAlone(ctx, namespace, id, b)
	}
	e := &entry{namespace: namespace, id: id, batch: b, lead: make(chan struct{}), done: make(chan struct{})}
	s.intake.add(e)
	select {
	case <-e.lead:
		s.carry(context.WithoutCancel(ctx)) // others go along
		<-e.done
	case <-e.done:
	}
	if e.alone {
		return s.logAlone(ctx, namespace, id, b)
	}
	return e.err
}

// together tells whether a batch touches nothing but the four tables of runs.
func together(b model.Batch) bool {
	for _, m := range b.Metrics {
		if m.ModelID != "" {
			return false
		}
	}
	for _, t := range b.Tags {
		if t.Key == model.TagRunName {
			return false
		}
	}
	return true
}

// carry writes what waits when its turn comes.
func (s *Store) carry(ctx context.Context) {
	var list []*entry
	err := s.update(ctx, func(t *tx) error {
		if list == nil {
			list = s.intake.take()
		}
		for _, e := range list {
			e.err = nil
		}
		return t.logTogether(list)
	})
	if list == nil { // it never ran
		list = s.intake.take()
	}
	for _, e := range list {
		if err != nil {
			e.err = err
			e.alone = len(list) > 1 && !errors.Is(err, db.ErrUnavailable) && !errors.Is(err, db.ErrClosed) || errors.Is(err, errRaced)
		}
		close(e.done)
	}
}

// errRaced: another copy of the program set a param at the same moment.
var errRaced = errors.New("a param was set at the same moment")

func (s *Store) logAlone(ctx context.Context, namespace, id string, b model.Batch) error {
	return s.update(ctx, func(t *tx) error {
		r, err := t.activeRun(namespace, id)
		if err != nil {
			return err
		}
		if err := t.putParams(r, b.Params); err != nil {
			return err
		}
		if err := t.putMetrics(r, b.Metrics); err != nil {
			return err
		}
		return t.putTags(r, b.Tags)
	})
}

// logTogether sets the error of each request that is refused and writes the others.
func (t *tx) logTogether(list []*entry) error {
	runs, err := t.runsOf(list)
	if err != nil {
		return err
	}
	if err := t.lookUp(list); err != nil {
		return err
	}
	if err := t.checkParams(list, runs); err != nil {
		return err
	}
	if err := t.internAll(list); err != nil { // names of a refused request leave no trace either
		return err
	}
	var points []runPoint
	params, tags := map[runKey]pairRow{}, map[runKey]pairRow{}
	for _, e := range list {
		if e.err != nil {
			continue
		}
		r := runs[e.id]
		for _, m := range e.batch.Metrics {
			points = append(points, newRunPoint(r, t.known(m.Key), m))
		}
		for _, p := range e.added {
			k := t.known(p.Key)
			params[runKey{r.Row, k}] = pairRow{r.Row, k, r.ExperimentID, r.Start, p.Value}
		}
		for _, g := range e.batch.Tags {
			k := t.known(g.Key)
			tags[runKey{r.Row, k}] = pairRow{r.Row, k, r.ExperimentID, r.Start, g.Value} // the last one counts
		}
	}
	n, row := pairValues(rowsOf(params))
	if added, err := t.insertMany(insertParams, n, row); err != nil || int(added) < n {
		return cmp.Or(err, errRaced)
	}
	if err := t.putPoints(points); err != nil {
		return err
	}
	n, row = pairValues(rowsOf(tags))
	return t.putMany(upsertTags, n, row)
}

// runsOf finds the runs of the requests, by id. One that cannot be written to
// refuses its requests.
func (t *tx) runsOf(list []*entry) (map[string]model.RunInfo, error) {
	runs := map[string]model.RunInfo{}
	var ids []string
	for _, e := range list {
		if _, ok := runs[e.id]; !ok {
			runs[e.id] = model.RunInfo{}
			ids = append(ids, e.id)
		}
	}
	const query = "SELECT " + runColumns + ", e.namespace FROM runs r JOIN experiments e ON e.id = r.exp WHERE r.uuid "
	scan := func(r rows) error {
		var namespace string
		info, err := scanRun(func(dest ...any) error { return r.Scan(append(dest, &namespace)...) })
		info.Namespace = namespace
		runs[info.ID] = info
		return err
	}
	var err error
	if len(ids) == 1 {
		err = t.Each(scan, query+"= ?", ids[0])
	} else {
		err = t.Each(scan, query+"IN (??)", ids)
	}
	for _, e := range list {
		switch r := runs[e.id]; {
		case r.Row == 0 || r.Namespace != e.namespace:
			e.err = model.Missing("Run with id=%s not found", e.id)
		case r.Deleted:
			e.err = notActive(e.id)
		}
	}
	return runs, err
}

// param is one of a run, whose name may not have a number yet.
type param struct {
	run  int64
	name string
}

// checkParams finds what the requests add. One that would change a param is refused.
func (t *tx) checkParams(list []*entry, runs map[string]model.RunInfo) error {
	have, err := t.paramsOf(list, runs)
	if err != nil {
		return err
	}
	for _, e := range list {
		e.added = nil
		if e.err != nil {
			continue
		}
		r := runs[e.id]
		for _, p := range e.batch.Params {
			old, ok := have[param{r.Row, p.Key}]
			if !ok {
				e.added = append(e.added, p)
			} else if old != p.Value {
				e.err = paramChanged(r, p, old)
			}
		}
		if e.err != nil {
			continue
		}
		for _, p := range e.added {
			have[param{r.Row, p.Key}] = p.Value
		}
	}
	return nil
}

// paramsOf gives what is stored of the params that the requests name.
func (t *tx) paramsOf(list []*entry, runs map[string]model.RunInfo) (map[param]string, error) {
	var ids, keys []int64
	names := map[int64]string{}
	for _, e := range list {
		if e.err != nil || len(e.batch.Params) == 0 {
			continue
		}
		ids = append(ids, runs[e.id].Row)
		for _, p := range e.batch.Params {
			if k := t.known(p.Key); k != 0 {
				keys = append(keys, k)
				names[k] = p.Key
			}
		}
	}
	have := map[param]string{}
	if len(keys) == 0 {
		return have, nil
	}
	err := t.Each(func(r rows) error {
		var run, k int64
		var v string
		err := r.Scan(&run, &k, &v)
		have[param{run, names[k]}] = v
		return err
	}, "SELECT run, k, v FROM run_params WHERE run IN (??) AND k IN (??)", unique(ids), unique(keys))
	return have, err
}
