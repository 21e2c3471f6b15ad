package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
)

// Retraining is one decision about a challenger.
type Retraining struct {
	Namespace  string    `json:"namespace"`
	Policy     string    `json:"policy"`
	ID         string    `json:"id"`
	Phase      string    `json:"phase"`
	Trigger    string    `json:"trigger,omitempty"`
	Champion   string    `json:"champion,omitempty"`
	Challenger string    `json:"challenger,omitempty"`
	Reason     string    `json:"reason,omitempty"`
	Started    time.Time `json:"started"`
}

// Retrainings are what kiwerk retrain list prints.
type Retrainings struct {
	Items []Retraining `json:"items"`
}

// Table prints one line per retraining.
func (r *Retrainings) Table(w io.Writer, _ *text.Printer) {
	rows := [][]string{{"POLICY", "ID", "PHASE", "TRIGGER", "CHAMPION", "CHALLENGER", "STARTED", "REASON"}}
	for _, i := range r.Items {
		rows = append(rows, []string{i.Policy, i.ID, i.Phase, i.Trigger, i.Champion, i.Challenger, i.Started.Local().Format(time.DateTime), i.Reason})
	}
	columns(w, rows)
}

func (t *tree) retrain() *cobra.Command {
	parent := &cobra.Command{
		Use: "retrain", Short: t.T(text.RetrainShort), Args: cobra.NoArgs,
		Example: "  kiwerk retrain list\n  kiwerk retrain approve digits",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var namespace string
	parent.PersistentFlags().StringVarP(&namespace, "project", "n", "default", t.T(text.FlagProject))
	list := &cobra.Command{
		Use: "list", Short: t.T(text.RetrainListShort), Args: cobra.NoArgs,
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
		Use: "approve POLICY", Short: t.T(text.RetrainApproveShort), Args: cobra.ExactArgs(1),
		Example: "  kiwerk retrain approve digits\n  kiwerk retrain approve digits --reject --reason 'not enough night shifts'",
		RunE: func(c *cobra.Command, args []string) error {
			if reject && strings.TrimSpace(reason) == "" {
				return usage(errors.New("--reject needs --reason"), "kiwerk retrain approve "+args[0]+" --reject --reason WHY")
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
