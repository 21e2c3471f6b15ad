package store

import (
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/filter"
)

// Attributes of a trace in searches, by column where there is one.
const (
	attrID       = "request_id"
	attrTime     = "timestamp_ms"
	attrDuration = "execution_time_ms"
	attrEnd      = "end_time_ms"
	attrStatus   = "status"
	attrClient   = "client_request_id"
	attrName     = "name"
	attrRun      = "run_id"
	attrPrompt   = "prompt"
	attrText     = "text"
	attrExp      = "experiment_id"
)

// attributePrefix begins the names of span attributes: span.attributes.model.
const attributePrefix = "attributes."

var (
	traceTextOps   = []filter.Op{filter.Ne, filter.Eq, filter.In, filter.NotIn, filter.Like, filter.ILike, filter.RLike}
	pairOps        = []filter.Op{filter.Ne, filter.Eq, filter.Like, filter.ILike, filter.RLike, filter.IsNull, filter.IsNotNull}
	nullableOps    = append([]filter.Op{filter.In, filter.NotIn}, pairOps...)
	assessmentOps  = append([]filter.Op{filter.Lt, filter.Le, filter.Gt, filter.Ge}, pairOps...)
	contentOps     = []filter.Op{filter.Like, filter.ILike}
	exactOps       = []filter.Op{filter.Eq}
	traceAliasesOf = map[string]string{"timestamp": attrTime, "execution_time": attrDuration, "end_time": attrEnd, "trace_id": attrID}
)

var language = filter.Language{
	Entities: map[string]filter.Entity{
		"attribute": filter.Attribute, "attributes": filter.Attribute, "trace": filter.Attribute,
		"tag": filter.Tag, "tags": filter.Tag,
		"metadata": filter.Metadata, "request_metadata": filter.Metadata,
		"span": filter.Span, "feedback": filter.Feedback, "expectation": filter.Expectation, "issue": filter.Issue,
	},
	Attributes: map[string]filter.Kind{
		attrID: filter.Text, attrTime: filter.Number, attrDuration: filter.Number, attrEnd: filter.Number, attrStatus: filter.Text, attrClient: filter.Text,
		attrName: filter.Text, attrRun: filter.Text, attrPrompt: filter.Text, attrText: filter.Text,
	},
	Aliases:       traceAliasesOf,
	OrderBy:       []string{attrEnd, attrDuration, attrExp, attrName, attrID, attrRun, attrStatus, attrTime},
	OrderEntities: []filter.Entity{filter.Tag, filter.Metadata},
	Nulls:         []filter.Entity{filter.Tag, filter.Metadata, filter.Feedback, filter.Expectation},
	Operators:     operators,
}

// operators of what only traces have.
func operators(e filter.Entity, key string) ([]filter.Op, error) {
	switch e {
	case filter.Attribute:
		switch key {
		case attrText:
			return contentOps, nil
		case attrPrompt:
			return exactOps, nil
		case attrName: // upstream keeps it as a tag
			return pairOps, nil
		case attrRun:
			return nullableOps, nil
		case attrID, attrStatus, attrClient:
			return traceTextOps, nil
		default:
			return nil, nil // numbers, by the common rules
		}
	case filter.Tag, filter.Metadata:
		if key == "" {
			return nil, filter.Faultf("A %s needs a key, such as %s.stage", e, e)
		}
		return pairOps, nil
	case filter.Span:
		return spanOperators(key)
	case filter.Feedback, filter.Expectation:
		if key == "" {
			return nil, filter.Faultf("Assessment field name cannot be empty")
		}
		return assessmentOps, nil
	case filter.Issue:
		if key != "id" {
			return nil, filter.Faultf("Invalid issue attribute '%s'. Supported attributes: id", key)
		}
		return exactOps, nil
	default:
		return nil, nil
	}
}

func spanOperators(key string) ([]filter.Op, error) {
	switch key {
	case "name", "type", "status":
		return traceTextOps, nil
	case "content":
		return contentOps, nil
	}
	name, ok := strings.CutPrefix(key, attributePrefix)
	switch {
	case !ok:
		return nil, filter.Faultf("Invalid span attribute '%s'. Supported attributes: name, status, type, content, attributes.<attribute_name>.", key)
	case name == "":
		return nil, filter.Faultf("Span attribute name cannot be empty after 'attributes.'")
	}
	return traceTextOps, nil
}

// metricsLanguage is that of the filters of statistics: trace.status,
// trace.tag.x, trace.metadata.x, span.name, assessment.type.
var metricsLanguage = filter.Language{
	Entities: map[string]filter.Entity{"trace": entityTrace, "span": filter.Span, "assessment": entityAssessment},
	Operators: func(e filter.Entity, key string) ([]filter.Op, error) {
		head, rest, keyed := strings.Cut(key, ".")
		needs, ok := metricsKeys[e][head]
		switch {
		case e == filter.Attribute:
			return nil, filter.Faultf("Invalid identifier '%s'. Columns should be specified as 'trace.<key>', 'span.<key>', 'assessment.<key>'.", key)
		case !ok:
			return nil, filter.Faultf("Invalid entity '%s' specified for view type '%s'.", head, e)
		case needs && (!keyed || rest == ""):
			return nil, filter.Faultf("Filtering by %s requires a key, e.g. '%s.%s.<key> = <value>'", head, e, head)
		case !needs && keyed:
			return nil, filter.Faultf("Filtering by %s does not require a key, use '%s.%s' instead", head, e, head)
		}
		return exactOps, nil
	},
}

const (
	entityTrace      filter.Entity = "trace"
	entityAssessment filter.Entity = "assessment"
)

// metricsKeys tells which keys there are, and whether something follows.
var metricsKeys = map[filter.Entity]map[string]bool{
	entityTrace:      {"status": false, "tag": true, "metadata": true},
	filter.Span:      {"name": false, "status": false, "type": false},
	entityAssessment: {"name": false, "type": false},
}
