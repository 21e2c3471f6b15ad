package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/client"
	"github.com/kiwerk/kiwerk/internal/text"
)

// pipelines are the commands about workflows.
type pipelines struct {
	*tree
	project string
}

// client asks the running platform.
func (p *pipelines) client() client.Client {
	return client.Client{Project: p.project, Call: func(ctx context.Context, method, path string, body, answer any) error {
		return p.program.Call(ctx, p.session, method, path, body, answer)
	}}
}

func (t *tree) pipeline() *cobra.Command {
	p := &pipelines{tree: t}
	parent := &cobra.Command{
		Use: "pipeline", Aliases: []string{"pipelines"}, Short: t.T(text.PipelineShort), Args: t.noArguments,
		Example: "  kiwerk pipeline submit train.yaml --wait\n  kiwerk pipeline list\n  kiwerk pipeline logs train-x7k2p",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	parent.PersistentFlags().StringVarP(&p.project, "project", "n", "default", t.T(text.FlagProject))
	parent.AddCommand(p.list(), p.show(), p.submit(), p.logs())
	for _, a := range []struct {
		action string
		short  text.Key
	}{
		{"suspend", text.PipelineSuspendShort},
		{"resume", text.PipelineResumeShort},
		{"stop", text.PipelineStopShort},
		{"terminate", text.PipelineTerminateShort},
		{"retry", text.PipelineRetryShort},
		{"resubmit", text.PipelineResubmitShort},
	} {
		parent.AddCommand(p.act(a.action, a.short))
	}
	return parent
}

func (p *pipelines) list() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: p.T(text.PipelineListShort), Args: p.noArguments,
		Example: "  kiwerk pipeline list\n  kiwerk pipeline list -n team-a -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			runs, err := p.client().List(c.Context())
			if err != nil {
				return err
			}
			return p.print(&PipelineRuns{Items: runs})
		},
	}
	p.printsData(c)
	return c
}

func (p *pipelines) show() *cobra.Command {
	c := &cobra.Command{
		Use: "show NAME", Short: p.T(text.PipelineShowShort), Args: p.exactly(1),
		Example: "  kiwerk pipeline show train-x7k2p\n  kiwerk pipeline show train-x7k2p -o json",
		RunE: func(c *cobra.Command, args []string) error {
			d, err := p.client().Get(c.Context(), args[0])
			if err != nil {
				return err
			}
			return p.print((*PipelineDetails)(d))
		},
	}
	p.printsData(c)
	return c
}

// submission is what kiwerk pipeline submit is asked for.
type submission struct {
	client.Options

	from    string
	wait    bool
	timeout time.Duration
}

func (p *pipelines) submit() *cobra.Command {
	var s submission
	c := &cobra.Command{
		Use: "submit FILE | --from TEMPLATE", Short: p.T(text.PipelineSubmitShort),
		Example: "  kiwerk pipeline submit train.yaml\n  kiwerk pipeline submit --from train -p epochs=20 --wait",
		RunE: func(c *cobra.Command, args []string) error {
			if (len(args) == 1) == (s.from != "") || len(args) > 1 {
				return p.wrongCall(c)
			}
			file := ""
			if len(args) == 1 {
				file = args[0]
			}
			return p.begin(c.Context(), file, s)
		},
	}
	c.Flags().StringVar(&s.from, "from", "", p.T(text.FlagPipelineFrom))
	c.Flags().StringArrayVarP(&s.Parameters, "parameter", "p", nil, p.T(text.FlagPipelineParameter))
	c.Flags().StringVar(&s.Entrypoint, "entrypoint", "", p.T(text.FlagPipelineEntrypoint))
	c.Flags().BoolVar(&s.wait, "wait", false, p.T(text.FlagPipelineWait))
	c.Flags().DurationVar(&s.timeout, "timeout", time.Hour, p.T(text.FlagTimeout))
	p.printsData(c)
	return c
}

func (p *pipelines) begin(ctx context.Context, file string, s submission) error {
	run, err := p.start(ctx, file, s)
	if err != nil {
		return p.refused(file, err)
	}
	if s.wait {
		return p.await(ctx, run.Name, s.timeout)
	}
	return p.tell(text.PipelineSubmitted, run)
}

func (p *pipelines) start(ctx context.Context, file string, s submission) (*client.Run, error) {
	if s.from != "" {
		return p.client().SubmitTemplate(ctx, s.from, s.Options)
	}
	manifest, err := p.read(file)
	if err != nil {
		return nil, err
	}
	return p.client().Submit(ctx, manifest, s.Options)
}

func (p *pipelines) read(file string) ([]byte, error) {
	if file == stdinName {
		return io.ReadAll(p.program.In)
	}
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Failure{Code: ExitNotFound, What: text.S(text.PipelineNoFile, file)}
	}
	return raw, err
}

// refused says what a person can do about a manifest or parameter that is none.
func (p *pipelines) refused(file string, err error) error {
	var syntax *client.SyntaxError
	var parameter *client.ParameterError
	switch {
	case errors.As(err, &syntax):
		return &Failure{Code: ExitUsage, What: text.S(text.PipelineUnreadable, file), Cause: syntax.Err, Try: text.S(text.Verbatim, "kiwerk lint "+file)}
	case errors.Is(err, client.ErrNoWorkflow):
		return &Failure{Code: ExitUsage, What: text.S(text.PipelineNoWorkflow, file), Try: text.S(text.Verbatim, "kiwerk kubectl apply -f "+file)}
	case errors.As(err, &parameter):
		return usage(text.S(text.PipelineParameter, parameter.Parameter), "kiwerk pipeline submit … -p NAME=VALUE")
	}
	return err
}

// waitPause between two looks at a workflow that is waited for.
const waitPause = time.Second

// await returns when the workflow has ended, with a code that says how.
func (p *pipelines) await(ctx context.Context, name string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(waitPause)
	defer tick.Stop()
	d, err := p.client().Wait(ctx, name, tick.C)
	if d != nil && errors.Is(err, context.DeadlineExceeded) {
		return &Failure{
			Code: ExitNotReady, What: text.S(text.PipelineNotEnded, name, timeout.String(), d.Phase),
			Try: text.S(text.Verbatim, "kiwerk pipeline show "+name+" -n "+p.project),
		}
	}
	if err != nil {
		return err
	}
	if err := p.print((*PipelineDetails)(d)); err != nil {
		return err
	}
	if d.Phase != string(argo.WorkflowSucceeded) {
		fmt.Fprintln(p.program.Err, p.session.Text.T(text.PipelineFailed, name, d.Phase, name, name))
		return Exit(ExitFailed)
	}
	return nil
}

func (p *pipelines) act(action string, short text.Key) *cobra.Command {
	c := &cobra.Command{
		Use: action + " NAME", Short: p.T(short), Args: p.exactly(1),
		Example: "  kiwerk pipeline " + action + " train-x7k2p",
		RunE: func(c *cobra.Command, args []string) error {
			run, err := p.client().Act(c.Context(), args[0], action)
			if err != nil {
				return err
			}
			return p.tell(text.PipelineChanged, run)
		},
	}
	p.printsData(c)
	return c
}

func (p *pipelines) logs() *cobra.Command {
	var follow bool
	c := &cobra.Command{
		Use: "logs NAME [STEP]", Short: p.T(text.PipelineLogsShort), Args: p.between(1, 2),
		Example: "  kiwerk pipeline logs train-x7k2p\n  kiwerk pipeline logs train-x7k2p evaluate -f",
		RunE: func(c *cobra.Command, args []string) error {
			d, err := p.client().Get(c.Context(), args[0])
			if err != nil {
				return err
			}
			kubectl := []string{"logs", "-n", p.project, "-c", "main"}
			if follow {
				kubectl = append(kubectl, "-f")
			}
			if len(args) == 1 {
				kubectl = append(kubectl, "--prefix", "--tail=-1", "--max-log-requests=100", "-l", argo.LabelWorkflow+"="+args[0])
				return p.program.Kubectl(c.Context(), p.session, kubectl)
			}
			pod := d.PodOf(args[1])
			if pod == "" {
				return &Failure{Code: ExitNotFound, What: text.S(text.PipelineNoStep, args[0], args[1]), Try: text.S(text.Verbatim, "kiwerk pipeline show "+args[0]+" -n "+p.project)}
			}
			return p.program.Kubectl(c.Context(), p.session, append(kubectl, pod))
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, p.T(text.FlagFollow))
	return c
}

// tell prints what exists now, and on the side what to do next.
func (p *pipelines) tell(done text.Key, run *client.Run) error {
	if !p.session.Quiet && p.output == "table" {
		fmt.Fprintln(p.program.Err, p.session.Text.T(done, run.Name, p.project, run.Name, p.project))
	}
	return p.print((*PipelineRun)(run))
}
