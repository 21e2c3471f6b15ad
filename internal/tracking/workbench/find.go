package workbench

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
)

// AmbiguousError is the begin of an id that several runs have.
type AmbiguousError struct {
	ID string
	// Runs are two of them.
	Runs []string
}

// Error names the runs.
func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("several runs begin with %s: %s", e.ID, strings.Join(e.Runs, ", "))
}

// ShortError is a word that is no run's id and too short for the begin of one.
type ShortError struct{ ID string }

// Error says how much is needed.
func (e *ShortError) Error() string {
	return fmt.Sprintf("no run has the id %s; the begin of one has four letters at least", e.ID)
}

// wholeID is an id as servers make them; shortID is long enough to look for.
var (
	wholeID = regexp.MustCompile(`^[0-9a-f]{32}$`)
	shortID = regexp.MustCompile(`^[0-9a-zA-Z][\w-]{3,31}$`)
)

// shortest begin of an id that is looked for.
const shortest = 4

// FindRun finds a run by its id or the begin of it, deleted or not.
func FindRun(ctx context.Context, c *client.Client, id string) (client.Run, error) {
	run, err := c.Run(ctx, id)
	if client.IsNotFound(err) && len(id) < shortest {
		return run, &ShortError{id}
	}
	if !client.IsNotFound(err) || wholeID.MatchString(id) || !shortID.MatchString(id) {
		return run, err
	}
	experiments, notThere := []string{}, err
	for e, err := range c.Experiments(ctx, client.Query{View: client.All}) {
		if err != nil {
			return run, err
		}
		experiments = append(experiments, e.ID)
	}
	var found []client.Run
	q := client.Query{View: client.All, Filter: "attributes.run_id LIKE " + client.QuoteFilter(id+"%")}
	for q.Experiments = range slices.Chunk(experiments, 500) {
		for r, err := range c.Runs(ctx, q) {
			if err != nil {
				return run, err
			}
			if !strings.HasPrefix(r.Info.ID, id) { // LIKE has an underscore stand for any letter
				continue
			}
			if found = append(found, r); len(found) > 1 {
				return run, &AmbiguousError{id, []string{found[0].Info.ID, found[1].Info.ID}}
			}
		}
	}
	if len(found) == 0 {
		return run, notThere
	}
	return found[0], nil
}

// RunIDs completes the begins of ids. Whole ones are not looked for.
func RunIDs(ctx context.Context, c *client.Client, ids []string) (whole []string, err error) {
	for _, id := range ids {
		if !wholeID.MatchString(id) {
			run, err := FindRun(ctx, c, id)
			if err != nil {
				return nil, err
			}
			id = run.Info.ID
		}
		whole = append(whole, id)
	}
	return whole, nil
}
