package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
)

// Retraining is one stored decision about a retraining.
type Retraining struct {
	Namespace string          `json:"namespace"`
	Policy    string          `json:"policy"`
	ID        string          `json:"retraining"`
	Time      time.Time       `json:"time"`
	Phase     string          `json:"phase"`
	Reason    string          `json:"reason"`
	Message   string          `json:"message"`
	Numbers   json.RawMessage `json:"numbers,omitempty"`
}

// Retrainings are what kiwerk retrain list prints, newest first.
type Retrainings struct {
	Items []Retraining `json:"decisions"`
}

// Table prints one line per decision.
func (r *Retrainings) Table(w io.Writer, p *text.Printer) {
	rows := [][]string{p.Labels("TIME", "POLICY", "RETRAINING", "PHASE", "REASON", "MESSAGE")}
	for _, i := range r.Items {
		rows = append(rows, []string{i.Time.Local().Format(time.DateTime), i.Policy, i.ID, i.Phase, i.Reason, i.why(p)})
	}
	columns(w, rows)
}

// why is the stored message, which is English; for other readers it is the
// sentence of the reason with the scores.
func (r *Retraining) why(p *text.Printer) string {
	if p.Lang() == "en" || r.Reason == "" {
		return r.Message
	}
	why := p.T(text.RetrainReason(r.Reason))
	var numbers struct {
		Score *struct {
			Champion, Challenger float64
			Rows                 int
		}
	}
	if json.Unmarshal(r.Numbers, &numbers) != nil || numbers.Score == nil {
		return why
	}
	s := numbers.Score
	return why + ": " + p.T(text.RetrainScores, s.Champion, s.Challenger, s.Rows)
}

func (t *tree) retrain() *cobra.Command {
	parent := &cobra.Command{
		Use: "retrain", Short: t.T(text.RetrainShort), Args: t.noArguments,
		Example: "  kiwerk retrain list\n  kiwerk retrain approve digits",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var namespace string
	parent.PersistentFlags().StringVarP(&namespace, "project", "n", "default", t.T(text.FlagProject))
	list := &cobra.Command{
		Use: "list", Short: t.T(text.RetrainListShort), Args: t.noArguments,
		Example: "  kiwerk retrain list\n  kiwerk retrain list -n team-a -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := t.program.Retrain.List(c.Context(), t.session, namespace)
			if err != nil {
				return err
			}
			return t.print(r)
		},
	}
	t.printsData(list)
	var reject bool
	var reason string
	approve := &cobra.Command{
		Use: "approve POLICY", Short: t.T(text.RetrainApproveShort), Args: t.exactly(1),
		Example: "  kiwerk retrain approve digits\n  kiwerk retrain approve digits --reject --reason 'not enough night shifts'",
		RunE: func(c *cobra.Command, args []string) error {
			if reject && strings.TrimSpace(reason) == "" {
				return usage(text.S(text.UsageReject), "kiwerk retrain approve "+args[0]+" --reject --reason WHY")
			}
			if err := t.program.Retrain.Approve(c.Context(), t.session, namespace, args[0], !reject, reason); err != nil {
				return err
			}
			key := text.RetrainApproved
			if reject {
				key = text.RetrainRejected
			}
			_, err := fmt.Fprintln(t.program.Err, t.session.Text.T(key, args[0]))
			return err
		},
	}
	approve.Flags().BoolVar(&reject, "reject", false, t.T(text.FlagReject))
	approve.Flags().StringVar(&reason, "reason", "", t.T(text.FlagReason))
	parent.AddCommand(list, approve)
	return parent
}
