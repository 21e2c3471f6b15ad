package genai

import (
	"context"
	"strings"

	"github.com/kiwerk/kiwerk/internal/server"
	db "github.com/kiwerk/kiwerk/internal/store"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
	"github.com/kiwerk/kiwerk/internal/tracking/model"
	"github.com/kiwerk/kiwerk/internal/tracking/query"
	"github.com/kiwerk/kiwerk/internal/tracking/route"
)

// label is a question to people who rate traces.
type label struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Instruction string `json:"instruction,omitempty"`
	Comment     bool   `json:"comment,omitempty"`
	Input       input  `json:"input"`
	Updated     int64  `json:"updated"`
	CreatedBy   string `json:"createdBy,omitempty"`
	Default     bool   `json:"default,omitempty"`
}

// input is how a question is answered: one of these.
type input struct {
	PassFail    *passFail    `json:"passFail,omitempty"    ml:"pass_fail"`
	Categorical *categorical `json:"categorical,omitempty" ml:"categorical"`
	Numeric     *numeric     `json:"numeric,omitempty"     ml:"numeric"`
	Text        *freeText    `json:"text,omitempty"        ml:"text"`
}

type passFail struct {
	Positive string `json:"positive" ml:"positive_label"`
	Negative string `json:"negative" ml:"negative_label"`
}

type categorical struct {
	Options []string `json:"options"         ml:"options"`
	Multi   bool     `json:"multi,omitempty" ml:"multi_select"`
}

type numeric struct {
	Min *float64 `json:"min,omitempty" ml:"min_value"`
	Max *float64 `json:"max,omitempty" ml:"max_value"`
}

type freeText struct {
	Max *int64 `json:"max,omitempty" ml:"max_length"`
}

var labelKind = kind[label]{"label", "Label schema"}

// defaultLabel is the question that every experiment has.
const (
	defaultLabel       = "Feedback"
	defaultInstruction = "What do you want to say about this trace?"
)

// labelType travels by name or number.
type labelType string

// SetName implements mlwire.Enum.
func (e *labelType) SetName(name string) bool {
	*e = labelType(name)
	return name == "FEEDBACK" || name == "EXPECTATION"
}

// SetNumber implements mlwire.Enum.
func (e *labelType) SetNumber(n int64) bool {
	*e = map[int64]labelType{1: "FEEDBACK", 2: "EXPECTATION"}[n]
	return *e != ""
}

type createLabel struct {
	Experiment  string    `ml:"experiment_id,required" about:"experiment"`
	Name        string    `ml:"name,required" about:"- within the experiment"`
	Type        labelType `ml:"type,required"`
	Input       *input    `ml:"input,required"`
	Instruction string    `ml:"instruction"`
	Comment     bool      `ml:"enable_comment"`
}

type labelRef struct {
	ID string `ml:"schema_id,required" about:"label_schema"`
}

// nameRef finds an object of an experiment by its name.
type nameRef struct {
	Experiment string `ml:"experiment_id,required" about:"experiment"`
	Name       string `ml:"name,required" about:"- within the experiment"`
}

type listLabels struct {
	Experiment string `ml:"experiment_id,required" about:"experiment"`
	Max        *int64 `ml:"max_results"`
	Token      string `ml:"page_token"`
}

type updateLabel struct {
	ID          string  `ml:"schema_id,required" about:"label_schema"`
	Name        *string `ml:"name" about:"- within the experiment"`
	Instruction *string `ml:"instruction"`
	Comment     *bool   `ml:"enable_comment"`
	Input       *input  `ml:"input"`
}

type labelJSON object[label]

// AppendJSON implements mlwire.Appender.
func (o labelJSON) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	w.Str("schema_id", o.ID)
	w.Str("experiment_id", number(o.Exp))
	w.Str("name", o.Doc.Name)
	w.Str("type", o.Doc.Type)
	w.OptStr("instruction", o.Doc.Instruction)
	w.Bool("enable_comment", o.Doc.Comment)
	w.Object("input", o.Doc.Input)
	w.OptStr("created_by", o.Doc.CreatedBy)
	w.Int("created_at", o.Created)
	w.Int("last_updated_at", o.Doc.Updated)
	w.Bool("is_default", o.Doc.Default)
	w.End()
}

// AppendJSON implements mlwire.Appender.
func (in input) AppendJSON(w *mlwire.Writer) {
	w.Begin()
	switch {
	case in.PassFail != nil:
		w.Name("pass_fail")
		w.Begin()
		w.Str("positive_label", in.PassFail.Positive)
		w.Str("negative_label", in.PassFail.Negative)
		w.End()
	case in.Categorical != nil:
		w.Name("categorical")
		w.Begin()
		w.Strings("options", in.Categorical.Options)
		w.Bool("multi_select", in.Categorical.Multi)
		w.End()
	case in.Numeric != nil:
		w.Name("numeric")
		w.Begin()
		if in.Numeric.Min != nil {
			w.Float("min_value", *in.Numeric.Min)
		}
		if in.Numeric.Max != nil {
			w.Float("max_value", *in.Numeric.Max)
		}
		w.End()
	case in.Text != nil:
		w.Name("text")
		w.Begin()
		if in.Text.Max != nil {
			w.Int("max_length", *in.Text.Max)
		}
		w.End()
	}
	w.End()
}

// variant names which input it is; "" is none or several.
func (in input) variant() string {
	found := ""
	for name, there := range map[string]bool{"pass_fail": in.PassFail != nil, "categorical": in.Categorical != nil, "numeric": in.Numeric != nil, "text": in.Text != nil} {
		if there && found != "" {
			return ""
		}
		if there {
			found = name
		}
	}
	return found
}

func short(field, s string) error {
	if s == "" || len(s) > 64 {
		return model.Invalid("`%s` must have 1 to 64 characters, got %d.", field, len(s))
	}
	return nil
}

func (in input) check() error {
	switch in.variant() {
	case "pass_fail":
		if err := short("positive_label", in.PassFail.Positive); err != nil {
			return err
		}
		if err := short("negative_label", in.PassFail.Negative); err != nil {
			return err
		}
		if in.PassFail.Positive == in.PassFail.Negative {
			return model.Invalid("`positive_label` and `negative_label` must be distinct, got '%s' for both.", in.PassFail.Positive)
		}
	case "categorical":
		return in.Categorical.check()
	case "numeric":
		if n := in.Numeric; n.Min != nil && n.Max != nil && !(*n.Min < *n.Max) {
			return model.Invalid("`min_value` must be strictly less than `max_value`, got %v and %v.", *n.Min, *n.Max)
		}
	case "text":
		if in.Text.Max != nil && *in.Text.Max < 1 {
			return model.Invalid("`max_length` must be at least 1, got %d.", *in.Text.Max)
		}
	default:
		return model.Invalid("Label schema `input` must be one of pass_fail, categorical, numeric, text.")
	}
	return nil
}

func (c *categorical) check() error {
	if len(c.Options) == 0 || len(c.Options) > 10 {
		return model.Invalid("`options` must have 1 to 10 entries, got %d.", len(c.Options))
	}
	seen := map[string]bool{}
	for _, o := range c.Options {
		if err := short("options", o); err != nil {
			return err
		}
		if seen[o] {
			return model.Invalid("`options` must be deduplicated, '%s' appears twice.", o)
		}
		seen[o] = true
	}
	return nil
}

func checkLabelName(name string) error {
	if name == "" || len(name) > 250 {
		return model.Invalid("Label schema `name` must have 1 to 250 characters, got %d.", len(name))
	}
	if strings.EqualFold(strings.TrimSpace(name), defaultLabel) {
		return model.Invalid("`%s` is reserved for the experiment's default question and cannot be used for another label schema.", name)
	}
	return nil
}

func checkInstruction(s string) error {
	if len(s) > 1000 {
		return model.Invalid("Label schema `instruction` must be at most 1000 characters, got %d.", len(s))
	}
	return nil
}

func (s *Service) labels() []server.Endpoint {
	answer := func(o object[label], err error) (*route.One[labelJSON], error) {
		return route.OneOf("label_schema", labelJSON(o), err)
	}
	return route.Flat(
		call(s, "POST", "/label-schemas/create", write, "make a label schema", func(ctx context.Context, q *createLabel) (*route.One[labelJSON], error) {
			return answer(s.createLabel(ctx, q))
		}),
		call(s, "GET", "/label-schemas/get", read, "one label schema", func(ctx context.Context, q *labelRef) (*route.One[labelJSON], error) {
			return answer(labelKind.load(ctx, s, server.NamespaceOf(ctx), q.ID))
		}),
		call(s, "GET", "/label-schemas/get-by-name", read, "the label schema with a name", func(ctx context.Context, q *nameRef) (*route.One[labelJSON], error) {
			return answer(labelKind.byName(ctx, s, q.Experiment, q.Name))
		}),
		call(s, "GET", "/label-schemas/list", read, "label schemas of an experiment", func(ctx context.Context, q *listLabels) (*route.Many[labelJSON], error) {
			list, next, err := s.listLabels(ctx, q)
			return route.ManyOf("label_schemas", list, next, err, func(o object[label]) labelJSON { return labelJSON(o) })
		}),
		call(s, "PATCH", "/label-schemas/update", write, "change a label schema", func(ctx context.Context, q *updateLabel) (*route.One[labelJSON], error) {
			return answer(s.updateLabel(ctx, q))
		}),
		call(s, "DELETE", "/label-schemas/delete", erase, "delete a label schema", func(ctx context.Context, q *labelRef) (*route.Empty, error) {
			return route.Done(s.db.Update(ctx, func(t *db.Tx) error {
				o, err := labelKind.get(t, server.NamespaceOf(ctx), q.ID)
				if model.IsMissing(err) {
					return nil // as it was asked for
				}
				if err == nil && o.Doc.Default {
					err = model.Invalid("The experiment's default question cannot be deleted.")
				}
				if err != nil {
					return err
				}
				return remove(t, q.ID)
			}))
		}),
	)
}

func (s *Service) newLabel(ctx context.Context, exp int64, l label) object[label] {
	now := s.now()
	l.Updated, l.CreatedBy = now, server.UserOf(ctx).Name
	return object[label]{ID: "ls-" + s.o.NewID(), Namespace: server.NamespaceOf(ctx), Exp: exp, Key: l.Name, Created: now, Doc: l}
}

func (s *Service) createLabel(ctx context.Context, q *createLabel) (o object[label], err error) {
	for _, err := range []error{checkLabelName(q.Name), checkInstruction(q.Instruction), q.Input.check()} {
		if err != nil {
			return o, err
		}
	}
	exp, err := s.active(ctx, q.Experiment)
	if err != nil {
		return o, err
	}
	o = s.newLabel(ctx, exp, label{Name: q.Name, Type: string(q.Type), Instruction: q.Instruction, Comment: q.Comment, Input: *q.Input})
	return o, s.db.Update(ctx, func(t *db.Tx) error { return labelKind.put(t, o) })
}

// listLabels makes the default question of an experiment when it is first asked for.
func (s *Service) listLabels(ctx context.Context, q *listLabels) (list []object[label], next string, err error) {
	n, err := route.MaxResults(q.Max, 100, 50_000)
	if err != nil {
		return nil, "", err
	}
	exp, err := s.active(ctx, q.Experiment)
	if err != nil {
		return nil, "", err
	}
	namespace := server.NamespaceOf(ctx)
	token, err := query.ParseToken(q.Token, query.Hash("labels", namespace, number(exp)))
	if err != nil {
		return nil, "", err
	}
	there := false
	read := func(t *db.Tx) error {
		o, err := labelKind.find(t, namespace, exp, defaultLabel)
		if err != nil {
			return err
		}
		there = o != nil
		list, next, err = labelKind.page(t, labelKind.newest(nil), labelKind.in(namespace, exp), n, token)
		return err
	}
	if err := s.db.View(ctx, read); err != nil || there {
		return list, next, err
	}
	err = s.db.Update(ctx, func(t *db.Tx) error {
		o, err := labelKind.find(t, namespace, exp, defaultLabel)
		if err == nil && o == nil {
			err = labelKind.put(t, s.newLabel(ctx, exp, label{Name: defaultLabel, Type: "FEEDBACK", Instruction: defaultInstruction, Input: input{Text: &freeText{}}, Default: true}))
		}
		if err != nil {
			return err
		}
		return read(t)
	})
	return list, next, err
}

func (s *Service) updateLabel(ctx context.Context, q *updateLabel) (object[label], error) {
	return labelKind.change(ctx, s, server.NamespaceOf(ctx), q.ID, func(_ *db.Tx, o *object[label]) error {
		l := &o.Doc
		if l.Default {
			return model.Invalid("The experiment's default question cannot be changed.")
		}
		if q.Name != nil {
			if err := checkLabelName(*q.Name); err != nil {
				return err
			}
			l.Name, o.Key = *q.Name, *q.Name
		}
		if q.Instruction != nil {
			if err := checkInstruction(*q.Instruction); err != nil {
				return err
			}
			l.Instruction = *q.Instruction
		}
		if q.Comment != nil {
			l.Comment = *q.Comment
		}
		l.Updated = s.now()
		return l.setInput(q.Input)
	})
}

// setInput changes the answers, but not their kind: given answers would be lost.
func (l *label) setInput(in *input) error {
	if in == nil {
		return nil
	}
	if err := in.check(); err != nil {
		return err
	}
	if in.variant() != l.Input.variant() {
		return model.Invalid("A label schema's input type cannot be changed after creation (existing: %s, got: %s).", l.Input.variant(), in.variant())
	}
	if in.Categorical != nil && in.Categorical.Multi != l.Input.Categorical.Multi {
		return model.Invalid("`multi_select` cannot be changed after creation.")
	}
	l.Input = *in
	return nil
}
