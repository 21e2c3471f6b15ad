package store

import (
	"strconv"

	"github.com/kiwerk/kiwerk/internal/tracking/filter"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
)

// among compares a column with the members of a list.
func among[T any](column string, all bool, list []T) clause {
	switch {
	case !all:
		return query.Of(column+" IN (??)", list)
	case len(list) > 0:
		return query.Of(column+" NOT IN (??)", list)
	}
	return always
}

// seenExperiments are those of a namespace that the caller of a search may see.
func seenExperiments(v *model.Visible, namespace string) clause {
	if v == nil || v.Experiments.Everything() {
		return query.Of("e.namespace = ?", namespace)
	}
	ids := make([]int64, 0, len(v.Experiments.List))
	for _, id := range v.Experiments.List {
		if n, err := strconv.ParseInt(id, 10, 64); err == nil {
			ids = append(ids, n)
		}
	}
	c := among("e.id", v.Experiments.All, ids)
	if !v.Experiments.All {
		// Not the index of the namespace: few ids are found by themselves.
		return query.Of(c.SQL+" AND e.namespace || '' = ?", append(c.Args, namespace)...)
	}
	return query.Of(c.SQL+" AND e.namespace = ?", append(c.Args, namespace)...)
}

// seenModels are the registered models and prompts that the caller of a search
// may see; row is the column with their number and named the condition for
// their names. A search looks for either: the first condition is that of its
// kind, which an index can serve, the second what keeps the other kind out.
func seenModels(v *model.Visible, comparisons []filter.Comparison, row string, named func(model.Names) clause) []clause {
	if v == nil {
		return nil
	}
	const isPrompt = "SELECT 1 FROM registered_model_tags p WHERE p.key = 'mlflow.prompt.is_prompt' AND lower(p.value) = 'true' AND p.model = "
	prompts := wantsPrompts(comparisons)
	of, other := v.Models, v.Prompts
	if prompts {
		of, other = other, of
	}
	list := []clause{named(of)}
	if !other.Everything() {
		kind, or := has(!prompts, isPrompt+row), named(other)
		list = append(list, query.Of(kind.SQL+" OR "+or.SQL, or.Args...))
	}
	return list
}

func seenRegistered(v *model.Visible, comparisons []filter.Comparison) []clause {
	return seenModels(v, comparisons, "g.id", func(n model.Names) clause { return among("g.name", n.All, n.List) })
}

// seenVersions are those of a namespace.
func seenVersions(v *model.Visible, comparisons []filter.Comparison, namespace string) []clause {
	ofModels := func(n model.Names) clause {
		c := among("name", n.All, n.List)
		return query.Of("v.model IN (SELECT id FROM registered_models WHERE namespace = ? AND "+c.SQL+")", append([]any{namespace}, c.Args...)...)
	}
	if v == nil {
		return []clause{ofModels(model.Names{All: true})}
	}
	below := *v
	if v.NoVersions {
		below.Models = model.Names{}
	}
	if v.NoPromptVersions {
		below.Prompts = model.Names{}
	}
	return seenModels(&below, comparisons, "v.model", ofModels)
}
