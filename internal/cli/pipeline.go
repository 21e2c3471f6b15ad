package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	"github.com/kiwerk/kiwerk/internal/pipeline/engine"
	"github.com/kiwerk/kiwerk/internal/pipeline/pack"
	"github.com/kiwerk/kiwerk/internal/text"
)

// pipelines are the commands about workflows; they speak Argo's own routes.
type pipelines struct {
	*tree
	project string
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
			var found argo.WorkflowList
			if err := p.call(c.Context(), http.MethodGet, "", nil, &found); err != nil {
				return err
			}
			out := &PipelineRuns{Items: []PipelineRun{}}
			for i := range found.Items {
				out.Items = append(out.Items, runOf(&found.Items[i]))
			}
			slices.SortFunc(out.Items, func(a, b PipelineRun) int {
				return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Name, b.Name))
			})
			return p.print(out)
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
			wf, err := p.get(c.Context(), args[0])
			if err != nil {
				return err
			}
			return p.print(detailsOf(wf))
		},
	}
	p.printsData(c)
	return c
}

// submission is what kiwerk pipeline submit is asked for.
type submission struct {
	from, entrypoint string
	parameters       []string
	wait             bool
	timeout          time.Duration
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
	c.Flags().StringArrayVarP(&s.parameters, "parameter", "p", nil, p.T(text.FlagPipelineParameter))
	c.Flags().StringVar(&s.entrypoint, "entrypoint", "", p.T(text.FlagPipelineEntrypoint))
	c.Flags().BoolVar(&s.wait, "wait", false, p.T(text.FlagPipelineWait))
	c.Flags().DurationVar(&s.timeout, "timeout", time.Hour, p.T(text.FlagTimeout))
	p.printsData(c)
	return c
}

func (p *pipelines) begin(ctx context.Context, file string, s submission) error {
	var wf argo.Workflow
	var err error
	if s.from != "" {
		err = p.call(ctx, http.MethodPost, "/submit", map[string]any{
			"resourceKind": "WorkflowTemplate", "resourceName": s.from,
			"submitOptions": map[string]any{"parameters": s.parameters, "entryPoint": s.entrypoint},
		}, &wf)
	} else {
		var manifest map[string]any
		if manifest, err = p.manifest(file, s); err == nil {
			err = p.call(ctx, http.MethodPost, "", map[string]any{"workflow": manifest}, &wf)
		}
	}
	if err != nil {
		return err
	}
	if s.wait {
		return p.await(ctx, wf.Name, s.timeout)
	}
	return p.tell(text.PipelineSubmitted, &wf)
}

// manifest reads a Workflow and puts entrypoint and parameters into it.
func (p *pipelines) manifest(file string, s submission) (map[string]any, error) {
	raw, err := p.read(file)
	if err != nil {
		return nil, err
	}
	var manifest map[string]any
	if err := yaml.Unmarshal(raw, &manifest); err != nil {
		return nil, &Failure{Code: ExitUsage, What: text.S(text.PipelineUnreadable, file), Cause: err, Try: text.S(text.Verbatim, "kiwerk lint "+file)}
	}
	spec, ok := manifest["spec"].(map[string]any)
	if manifest["kind"] != "Workflow" || !ok {
		return nil, &Failure{Code: ExitUsage, What: text.S(text.PipelineNoWorkflow, file), Try: text.S(text.Verbatim, "kiwerk kubectl apply -f "+file)}
	}
	if s.entrypoint != "" {
		spec["entrypoint"] = s.entrypoint
	}
	return manifest, setParameters(spec, s.parameters)
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

// setParameters replaces or adds NAME=VALUE among the arguments of a workflow.
func setParameters(spec map[string]any, parameters []string) error {
	if len(parameters) == 0 {
		return nil
	}
	arguments, _ := spec["arguments"].(map[string]any)
	if arguments == nil {
		arguments = map[string]any{}
	}
	list, _ := arguments["parameters"].([]any)
	for _, p := range parameters {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return &Failure{Code: ExitUsage, What: text.S(text.PipelineParameter, p), Try: text.S(text.Verbatim, "kiwerk pipeline submit … -p NAME=VALUE")}
		}
		list = slices.DeleteFunc(list, func(old any) bool {
			o, ok := old.(map[string]any)
			return ok && o["name"] == name
		})
		list = append(list, map[string]any{"name": name, "value": value})
	}
	arguments["parameters"], spec["arguments"] = list, arguments
	return nil
}

// waitPause between two looks at a workflow that is waited for.
const waitPause = time.Second

// await returns when the workflow has ended, with a code that says how.
func (p *pipelines) await(ctx context.Context, name string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(waitPause)
	defer tick.Stop()
	for {
		wf, err := p.get(ctx, name)
		if err != nil {
			return err
		}
		if wf.Status.Phase.Completed() {
			if err := p.print(detailsOf(wf)); err != nil {
				return err
			}
			if wf.Status.Phase != argo.WorkflowSucceeded {
				fmt.Fprintln(p.program.Err, p.session.Text.T(text.PipelineFailed, name, wf.Status.Phase, name, name))
				return Exit(ExitFailed)
			}
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &Failure{
				Code: ExitNotReady, What: text.S(text.PipelineNotEnded, name, timeout.String(), string(wf.Status.Phase)),
				Try: text.S(text.Verbatim, "kiwerk pipeline show "+name+" -n "+p.project),
			}
		}
	}
}

func (p *pipelines) act(action string, short text.Key) *cobra.Command {
	c := &cobra.Command{
		Use: action + " NAME", Short: p.T(short), Args: p.exactly(1),
		Example: "  kiwerk pipeline " + action + " train-x7k2p",
		RunE: func(c *cobra.Command, args []string) error {
			var wf argo.Workflow
			if err := p.call(c.Context(), http.MethodPut, "/"+url.PathEscape(args[0])+"/"+action, map[string]any{}, &wf); err != nil {
				return err
			}
			return p.tell(text.PipelineChanged, &wf)
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
			wf, err := p.get(c.Context(), args[0])
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
			pod := podOf(wf, args[1])
			if pod == "" {
				return &Failure{Code: ExitNotFound, What: text.S(text.PipelineNoStep, args[0], args[1]), Try: text.S(text.Verbatim, "kiwerk pipeline show "+args[0]+" -n "+p.project)}
			}
			return p.program.Kubectl(c.Context(), p.session, append(kubectl, pod))
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, p.T(text.FlagFollow))
	return c
}

// podOf is the pod of a step by its display name, of the last attempt if there were several.
func podOf(wf *argo.Workflow, step string) string {
	var found *argo.NodeStatus
	for _, n := range wf.Status.Nodes {
		if n.Type == argo.NodeTypePod && (n.DisplayName == step || strings.HasPrefix(n.DisplayName, step+"(")) &&
			(found == nil || n.StartedAt.After(found.StartedAt.Time)) {
			found = &n
		}
	}
	if found == nil {
		return ""
	}
	return engine.PodName(wf.Name, found)
}

// get reads a workflow with all its nodes.
func (p *pipelines) get(ctx context.Context, name string) (*argo.Workflow, error) {
	var wf argo.Workflow
	if err := p.call(ctx, http.MethodGet, "/"+url.PathEscape(name), nil, &wf); err != nil {
		return nil, err
	}
	return &wf, pack.Unpack(&wf.Status)
}

func (p *pipelines) call(ctx context.Context, method, path string, body, answer any) error {
	return p.program.Call(ctx, p.session, method, "/api/v1/workflows/"+url.PathEscape(p.project)+path, body, answer)
}

// tell prints what exists now, and on the side what to do next.
func (p *pipelines) tell(done text.Key, wf *argo.Workflow) error {
	if !p.session.Quiet && p.output == "table" {
		fmt.Fprintln(p.program.Err, p.session.Text.T(done, wf.Name, p.project, wf.Name, p.project))
	}
	run := runOf(wf)
	return p.print(&run)
}
