package cli

import (
	"context"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/workbench"
)

// completions are the words that a shell offers; asking takes no longer than a person waits.
type completions func(ctx context.Context, server *client.Client) []string

const (
	completionWait = 2 * time.Second
	completionMost = 50
)

func (s *trackers) completed(words completions) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		parent := c.Context()
		if parent == nil {
			parent = context.Background()
		}
		ctx, cancel := context.WithTimeout(parent, completionWait)
		defer cancel()
		server, err := s.server(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return words(ctx, server), cobra.ShellCompDirectiveNoFileComp
	}
}

func (s *trackers) completes(c *cobra.Command, flag string, words completions) {
	_ = c.RegisterFlagCompletionFunc(flag, s.completed(words)) // fails only for a flag that is not there
}

// offered are words for the first of a list.
func offered[T any](list iter.Seq2[T, error], word func(T) string) (words []string) {
	for v, err := range list {
		if err != nil {
			break
		}
		words = append(words, word(v))
	}
	return words
}

func (s *trackers) experimentNames(ctx context.Context, server *client.Client) []string {
	return offered(server.Experiments(ctx, client.Query{Max: completionMost}), func(e client.Experiment) string { return e.Name })
}

func (s *trackers) runIDs(ctx context.Context, server *client.Client) []string {
	experiments, err := workbench.Experiments(ctx, server, nil, client.ActiveOnly)
	if err != nil {
		return nil
	}
	return offered(workbench.Runs(ctx, server, experiments, client.Query{Max: completionMost}), func(r workbench.Run) string { return r.ID + "\t" + r.Name })
}

func (s *trackers) modelNames(ctx context.Context, server *client.Client) []string {
	return offered(server.RegisteredModels(ctx, client.Query{Max: completionMost}), func(m client.RegisteredModel) string { return m.Name })
}
