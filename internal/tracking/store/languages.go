package store

import "github.com/kiwerk/kiwerk/internal/tracking/filter"

// entities of run searches by every name that they have.
var entities = map[string]filter.Entity{
	"attribute": filter.Attribute, "attributes": filter.Attribute, "attr": filter.Attribute, "run": filter.Attribute,
	"metric": filter.Metric, "metrics": filter.Metric,
	"parameter": filter.Param, "parameters": filter.Param, "param": filter.Param, "params": filter.Param,
	"tag": filter.Tag, "tags": filter.Tag,
	"dataset": filter.Dataset, "datasets": filter.Dataset,
}

var onlyTags = map[string]filter.Entity{"attribute": filter.Attribute, "tag": filter.Tag, "tags": filter.Tag}

var runLanguage = filter.Language{
	Entities: entities,
	Attributes: map[string]filter.Kind{
		"run_id": filter.Text, "run_name": filter.Text, "user_id": filter.Text, "status": filter.Text, "artifact_uri": filter.Text,
		"start_time": filter.Number, "end_time": filter.Number,
	},
	Aliases: map[string]string{
		"created": "start_time", "Created": "start_time", "run name": "run_name", "Run name": "run_name", "Run Name": "run_name",
	},
	OrderBy:       []string{"artifact_uri", "end_time", "run_id", "run_name", "start_time", "status", "user_id"},
	OrderEntities: []filter.Entity{filter.Metric, filter.Param, filter.Tag},
	Lists:         []string{"run_id"},
	Nulls:         []filter.Entity{filter.Param, filter.Tag},
}

var experimentLanguage = filter.Language{
	Entities: onlyTags,
	Attributes: map[string]filter.Kind{
		"name": filter.Text, "experiment_id": filter.Text, "creation_time": filter.Number, "last_update_time": filter.Number,
	},
	OrderBy: []string{"creation_time", "experiment_id", "last_update_time", "name"},
	Lists:   []string{"experiment_id"},
	Nulls:   []filter.Entity{filter.Tag},
}

var registeredLanguage = filter.Language{
	Entities:      onlyTags,
	Attributes:    map[string]filter.Kind{"name": filter.Text},
	Aliases:       map[string]string{"timestamp": "last_updated_timestamp"},
	OrderBy:       []string{"last_updated_timestamp", "name"},
	Lists:         []string{"name"},
	OrderIsColumn: true,
}

var versionLanguage = filter.Language{
	Entities: onlyTags,
	Attributes: map[string]filter.Kind{
		"name": filter.Text, "run_id": filter.Text, "source_path": filter.Text, "version_number": filter.TextOrNumber,
	},
	OrderBy: []string{"creation_timestamp", "last_updated_timestamp", "name", "version_number"},
	Lists:   []string{"name", "run_id"},
}

var loggedModelLanguage = filter.Language{
	Entities: map[string]filter.Entity{
		"attributes": filter.Attribute, "metrics": filter.Metric, "params": filter.Param, "tags": filter.Tag,
	},
	Attributes: map[string]filter.Kind{
		"model_id": filter.Text, "name": filter.Text, "model_type": filter.Text, "source_run_id": filter.Text, "status": filter.Text,
		"creation_timestamp": filter.Number, "last_updated_timestamp": filter.Number,
	},
	Aliases: map[string]string{
		"creation_time": "creation_timestamp", "creation_timestamp_ms": "creation_timestamp", "last_updated_timestamp_ms": "last_updated_timestamp",
	},
	OrderBy:       []string{"creation_timestamp", "last_updated_timestamp", "model_id", "model_type", "name", "source_run_id", "status"},
	OrderEntities: []filter.Entity{filter.Metric},
	PairLists:     true,
}
