package cli

import (
	"context"
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

func (s *trackers) experimentNames(ctx context.Context, server *client.Client) (list []string) {
	for e, err := range server.Experiments(ctx, client.Query{Max: completionMost}) {
		if err != nil {
			break
		}
		list = append(list, e.Name)
	}
	return list
}

func (s *trackers) runIDs(ctx context.Context, server *client.Client) (list []string) {
	experiments, err := workbench.Experiments(ctx, server, nil, client.ActiveOnly)
	if err != nil {
		return nil
	}
	for r, err := range workbench.Runs(ctx, server, experiments, client.Query{Max: completionMost}) {
		if err != nil {
			break
		}
		list = append(list, r.ID+"\t"+r.Name)
	}
	return list
}

func (s *trackers) modelNames(ctx context.Context, server *client.Client) (list []string) {
	for m, err := range server.RegisteredModels(ctx, client.Query{Max: completionMost}) {
		if err != nil {
			break
		}
		list = append(list, m.Name)
	}
	return list
}
