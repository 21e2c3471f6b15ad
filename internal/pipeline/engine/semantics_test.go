package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
)

// wf is a workflow from the YAML of its spec with the templates nop (a
// container) and echo (with the input msg and the result as output) added.
func wf(spec string) string {
	return "spec:\n  " + strings.ReplaceAll(strings.TrimSpace(spec), "\n", "\n  ") + `
  - name: nop
    container: {image: a, command: [x]}
  - name: echo
    inputs: {parameters: [{name: msg, default: none}]}
    outputs: {parameters: [{name: out, valueFrom: {path: /out}}, {name: kept, valueFrom: {path: /kept, default: fallback}}]}
    container: {image: a, command: [echo, "{{inputs.parameters.msg}}"]}
`
}

// ends gives outcomes by node, without the name of the workflow.
func ends(m map[string]outcome) func(string, *corev1.Pod) outcome {
	return func(node string, _ *corev1.Pod) outcome { return m[strings.TrimPrefix(node, "wf")] }
}

func TestDecide_semantics(t *testing.T) {
	for name, c := range map[string]struct {
		spec string
		ends map[string]outcome
		want string // tree without the root's name
	}{
		"StepFails": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: nop}, {name: b, template: nop}], [{name: c, template: nop}]]",
			ends: map[string]outcome{"[0].a": {exit: 1}},
			want: `Steps Failed: child 'wf-ID' failed
[0] StepGroup Failed: child 'wf-ID' failed
[0].a Pod Failed: main: Error (exit code 1)
[0].b Pod Succeeded`,
		},
		"ContinueOnFailed": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: nop, continueOn: {failed: true}}], [{name: c, template: echo, arguments: {parameters: [{name: msg, value: '{{steps.a.status}} {{steps.a.exitCode}}'}]}}]]",
			ends: map[string]outcome{"[0].a": {exit: 4}},
			want: `Steps Succeeded
[0] StepGroup Succeeded
[0].a Pod Failed: main: Error (exit code 4)
[1] StepGroup Succeeded
[1].c Pod Succeeded`,
		},
		"ContinueOnFailedIsNotError": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: nop, continueOn: {failed: true}}]]",
			ends: map[string]outcome{"[0].a": {exit: 64, agentError: "no such file"}},
			want: `Steps Failed: child 'wf-ID' failed
[0] StepGroup Failed: child 'wf-ID' failed
[0].a Pod Error: main: Error (exit code 64): no such file`,
		},
		"DAGRunsOnFailure": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  dag: {tasks: [{name: a, template: nop}, {name: good, template: nop, depends: a.Succeeded}, {name: bad, template: nop, depends: a.Failed}]}",
			ends: map[string]outcome{".a": {exit: 1}},
			want: `DAG Failed
.a Pod Failed: main: Error (exit code 1)
.bad Pod Succeeded
.good Skipped Omitted: omitted: depends condition not met`,
		},
		"DAGHandledFailureSucceeds": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  dag: {tasks: [{name: a, template: nop}, {name: b, template: nop, depends: a || a.Failed}]}",
			ends: map[string]outcome{".a": {exit: 1}},
			want: `DAG Succeeded
.a Pod Failed: main: Error (exit code 1)
.b Pod Succeeded`,
		},
		"DAGContinueOn": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  dag: {tasks: [{name: a, template: nop, continueOn: {failed: true}}, {name: b, template: nop, dependencies: [a]}]}",
			ends: map[string]outcome{".a": {exit: 1}},
			want: `DAG Succeeded
.a Pod Failed: main: Error (exit code 1)
.b Pod Succeeded`,
		},
		"DAGFailFast": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  dag: {tasks: [{name: a, template: nop}, {name: b, template: nop}, {name: c, template: nop, depends: b}, {name: d, template: nop, depends: c}]}",
			ends: map[string]outcome{".a": {exit: 1}},
			want: `DAG Failed
.a Pod Failed: main: Error (exit code 1)
.b Pod Succeeded`,
		},
		"DAGNotFailFast": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  dag: {failFast: false, tasks: [{name: a, template: nop}, {name: b, template: nop}, {name: c, template: nop, depends: b}]}",
			ends: map[string]outcome{".a": {exit: 1}},
			want: `DAG Failed
.a Pod Failed: main: Error (exit code 1)
.b Pod Succeeded
.c Pod Succeeded`,
		},
		"DAGTarget": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  dag: {target: b, tasks: [{name: a, template: nop}, {name: b, template: nop, depends: a}, {name: c, template: nop, depends: a}]}",
			want: `DAG Succeeded
.a Pod Succeeded
.b Pod Succeeded`,
		},
		"DAGGroupAnySucceeded": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  dag: {tasks: [{name: a, template: nop, withItems: [x, z]}, {name: any, template: nop, depends: a.AnySucceeded}, {name: all, template: nop, depends: a.AllFailed}]}",
			ends: map[string]outcome{".a(0:x)": {exit: 1}},
			want: `DAG Failed
.a TaskGroup Failed
.a(0:x) Pod Failed: main: Error (exit code 1)
.a(1:z) Pod Succeeded
.all Skipped Omitted: omitted: depends condition not met
.any Pod Succeeded`,
		},
		"DAGAggregatesLoop": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  dag: {tasks: [{name: a, template: echo, withItems: [x, z]}, {name: b, template: echo, depends: a, arguments: {parameters: [{name: msg, value: '{{tasks.a.outputs.parameters.out}}'}]}}]}",
			ends: map[string]outcome{".a(0:x)": {parameters: map[string]string{"out": "1"}}, ".a(1:z)": {parameters: map[string]string{"out": "2"}}},
			want: `DAG Succeeded
.a TaskGroup Succeeded
.a(0:x) Pod Succeeded
.a(1:z) Pod Succeeded
.b Pod Succeeded`,
		},
		"DAGOmitsLoop": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  dag: {failFast: false, tasks: [{name: a, template: nop}, {name: b, template: nop, depends: a, withItems: [x, z]}, {name: c, template: nop, depends: b}, {name: d, template: nop}, {name: e, template: nop, depends: d}]}",
			ends: map[string]outcome{".a": {exit: 1}},
			want: `DAG Failed
.a Pod Failed: main: Error (exit code 1)
.b Skipped Omitted: omitted: depends condition not met
.c Skipped Omitted: omitted: depends condition not met
.d Pod Succeeded
.e Pod Succeeded`,
		},
		"EmptyLoop": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: nop, withParam: '[]'}], [{name: b, template: nop}]]",
			want: `Steps Succeeded
[0] StepGroup Succeeded
[0].a Skipped Skipped: Skipped, empty params
[1] StepGroup Succeeded
[1].b Pod Succeeded`,
		},
		"BadWithParam": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: nop, withParam: 'nothing'}]]",
			want: `Steps Error: step a: withParam value could not be parsed as a JSON list: nothing: invalid character 'o' in literal null (expecting 'u')
[0] StepGroup Error: step a: withParam value could not be parsed as a JSON list: nothing: invalid character 'o' in literal null (expecting 'u')`,
		},
		"BadWhen": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: nop, when: '1 + 1'}]]",
			want: `Steps Failed: child 'wf-ID' failed
[0] StepGroup Failed: child 'wf-ID' failed
[0].a Skipped Error: expected boolean evaluation for '1 + 1'. Got 2`,
		},
		"SkippedOutputHasProducersDefault": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: echo, when: 'false'}], [{name: b, template: echo, arguments: {parameters: [{name: msg, value: '{{steps.a.outputs.parameters.kept}}'}]}}]]",
			want: `Steps Succeeded
[0] StepGroup Succeeded
[0].a Skipped Skipped: when 'false' evaluated false
[1] StepGroup Succeeded
[1].b Pod Succeeded`,
		},
		"SkippedOutputFallsBackToConsumersDefault": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: echo, when: 'false'}], [{name: b, template: echo, arguments: {parameters: [{name: msg, value: '{{steps.a.outputs.parameters.out}}'}]}}]]",
			want: `Steps Succeeded
[0] StepGroup Succeeded
[0].a Skipped Skipped: when 'false' evaluated false
[1] StepGroup Succeeded
[1].b Pod Succeeded`,
		},
		"SkippedOutputInTextIsAnError": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: echo, when: 'false'}], [{name: b, template: echo, arguments: {parameters: [{name: msg, value: 'x{{steps.a.outputs.parameters.out}}'}]}}]]",
			want: `Steps Failed: child 'wf-ID' failed
[0] StepGroup Succeeded
[0].a Skipped Skipped: when 'false' evaluated false
[1] StepGroup Failed: child 'wf-ID' failed
[1].b Skipped Error: arguments.parameters.msg: failed to resolve {{steps.a.outputs.parameters.out}}`,
		},
		"RetryOnErrorOnly": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  retryStrategy: {limit: 2, retryPolicy: OnError}\n  container: {image: a, command: [x]}",
			ends: map[string]outcome{"(0)": {exit: 64, agentError: "store"}, "(1)": {exit: 1}},
			want: `Retry Failed: main: Error (exit code 1)
(0) Pod Error: main: Error (exit code 64): store
(1) Pod Failed: main: Error (exit code 1)`,
		},
		"RetryByDefaultNotOnError": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  retryStrategy: {limit: 2}\n  container: {image: a, command: [x]}",
			ends: map[string]outcome{"(0)": {exit: 64, agentError: "store"}},
			want: `Retry Error: main: Error (exit code 64): store
(0) Pod Error: main: Error (exit code 64): store`,
		},
		"RetryKeepsArguments": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: r, arguments: {parameters: [{name: p, value: x}]}}]]\n" +
				"- name: r\n  retryStrategy: {limit: 2}\n  inputs: {parameters: [{name: p}]}\n  container: {image: a, command: [x], args: ['{{inputs.parameters.p}}']}",
			ends: map[string]outcome{"[0].a(0)": {exit: 1}},
			want: `Steps Succeeded
[0] StepGroup Succeeded
[0].a Retry Succeeded
[0].a(0) Pod Failed: main: Error (exit code 1)
[0].a(1) Pod Succeeded`,
		},
		"RetryExpression": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  retryStrategy: {limit: 5, expression: 'asInt(lastRetry.exitCode) == 2'}\n  container: {image: a, command: [x]}",
			ends: map[string]outcome{"(0)": {exit: 2}, "(1)": {exit: 3}},
			want: `Retry Failed: retryStrategy.expression evaluated to false
(0) Pod Failed: main: Error (exit code 2)
(1) Pod Failed: main: Error (exit code 3)`,
		},
		"RetrySteps": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  retryStrategy: {limit: 1}\n  steps: [[{name: a, template: nop}]]",
			ends: map[string]outcome{"(0)[0].a": {exit: 1}},
			want: `Retry Succeeded
(0) Steps Failed: child 'wf-ID' failed
(0)[0] StepGroup Failed: child 'wf-ID' failed
(0)[0].a Pod Failed: main: Error (exit code 1)
(1) Steps Succeeded
(1)[0] StepGroup Succeeded
(1)[0].a Pod Succeeded`,
		},
		"StepExitHook": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: nop, hooks: {exit: {template: echo, arguments: {parameters: [{name: msg, value: '{{steps.a.status}}'}]}}}}], [{name: b, template: nop}]]",
			want: `Steps Succeeded
[0] StepGroup Succeeded
[0].a Pod Succeeded
[0].a.onExit Pod Succeeded
[1] StepGroup Succeeded
[1].b Pod Succeeded`,
		},
		"TaskExitHookWithExpression": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  dag: {tasks: [{name: a, template: nop, hooks: {exit: {template: nop, expression: 'tasks.a.status == \"Failed\"'}}}, {name: b, template: nop, hooks: {exit: {template: nop, expression: 'tasks.b.status == \"Failed\"'}}}]}",
			ends: map[string]outcome{".b": {exit: 1}},
			want: `DAG Failed
.a Pod Succeeded
.b Pod Failed: main: Error (exit code 1)
.b.onExit Pod Succeeded`,
		},
		"ExitHandlerFailureFailsWorkflow": {
			spec: "entrypoint: nop\nonExit: echo\ntemplates:",
			ends: map[string]outcome{".onExit": {exit: 2}},
			want: `Pod Succeeded
.onExit Pod Failed: main: Error (exit code 2)`,
		},
		"Inline": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, inline: {container: {image: a, command: [x]}}}]]",
			want: `Steps Succeeded
[0] StepGroup Succeeded
[0].a Pod Succeeded`,
		},
		"EndlessRecursion": {
			spec: "entrypoint: m\ntemplates:\n- name: m\n  dag: {tasks: [{name: a, template: m}]}",
			want: "", // checked below
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t, wf(c.spec), ends(c.ends)).run()
			if name == "EndlessRecursion" {
				s.wantPhase(argo.WorkflowError)
				if !strings.Contains(s.tree(), "maximum recursion depth exceeded") || len(s.wf.Status.Nodes) > maxDepth+1 {
					t.Errorf("%d nodes", len(s.wf.Status.Nodes))
				}
				return
			}
			if !s.wf.Status.Phase.Completed() {
				t.Errorf("phase %s", s.wf.Status.Phase)
			}
			if diff := cmp.Diff(strings.TrimSpace(c.want), masked(s)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// masked is the tree without the workflow's name and with ids hidden.
func masked(s *sim) string {
	text := s.tree()
	for id := range s.wf.Status.Nodes {
		if id != s.wf.Name {
			text = strings.ReplaceAll(text, "'"+id+"'", "'wf-ID'")
		}
	}
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(strings.TrimPrefix(lines[i], s.wf.Name))
	}
	return strings.Join(lines, "\n")
}

func TestDecide_arguments(t *testing.T) {
	s := newSim(t, wf("entrypoint: m\ntemplates:\n- name: m\n  steps: [[{name: a, template: echo, when: 'false'}], [{name: b, template: echo, arguments: {parameters: [{name: msg, value: '{{steps.a.outputs.parameters.kept}}'}]}}], [{name: c, template: echo, arguments: {parameters: [{name: msg, value: '{{steps.a.outputs.parameters.out}}'}]}}], [{name: d, template: echo, arguments: {parameters: [{name: msg, value: '{{=steps.a.outputs.parameters.out ?? \"else\"}}'}]}}]]"), nil).run()
	s.wantPhase(argo.WorkflowSucceeded)
	for node, want := range map[string]string{"[1].b": "fallback", "[2].c": "none", "[3].d": "else"} {
		if got := s.args(node); !strings.HasSuffix(got, "echo "+want) {
			t.Errorf("%s: %q, want %q", node, got, want)
		}
	}
}

func TestDecide_parallelism(t *testing.T) {
	loop := "\ntemplates:\n- name: m%s\n  steps: [[{name: a, template: nop, withSequence: {count: 7}}]]"
	for name, spec := range map[string]string{
		"Workflow": "entrypoint: m\nparallelism: 2" + fmt.Sprintf(loop, ""),
		"Template": "entrypoint: m" + fmt.Sprintf(loop, "\n  parallelism: 2"),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(t, wf(spec), nil).run()
			s.wantPhase(argo.WorkflowSucceeded)
			if s.most != 2 || len(s.order) != 7 {
				t.Errorf("%d at once, %d in all", s.most, len(s.order))
			}
		})
	}
}

func TestDecide_backoff(t *testing.T) {
	s := newSim(t, wf("entrypoint: m\ntemplates:\n- name: m\n  retryStrategy: {limit: 3, backoff: {duration: 10, factor: 3, maxDuration: 5m}}\n  container: {image: a, command: [x]}"),
		func(string, *corev1.Pod) outcome { return outcome{exit: 1} })
	s.tick()
	s.endPods()
	plan := s.tick()
	if plan.Again != 10*time.Second || s.node("").Message != "Backoff for 10s" || len(s.order) != 1 {
		t.Fatalf("again in %v, message %q, attempts %v", plan.Again, s.node("").Message, s.order)
	}
	s.now = s.now.Add(10 * time.Second)
	s.tick()
	s.endPods()
	if plan = s.tick(); plan.Again != 30*time.Second || len(s.order) != 2 {
		t.Fatalf("again in %v, attempts %v", plan.Again, s.order)
	}
	s.run()
	s.wantPhase(argo.WorkflowFailed)
	if len(s.order) != 4 {
		t.Errorf("attempts %v", s.order)
	}
}

func TestDecide_suspend(t *testing.T) {
	s := newSim(t, wf("entrypoint: m\ntemplates:\n- name: wait\n  suspend: {}\n- name: pause\n  suspend: {duration: 1m}\n- name: m\n  steps: [[{name: a, template: wait}], [{name: b, template: pause}], [{name: c, template: nop}]]"), nil).run()
	if s.wf.Status.Phase != argo.WorkflowRunning || s.node("[0].a").Type != argo.NodeTypeSuspend {
		t.Fatal(s.tree())
	}
	n := s.node("[0].a") // as clients resume: they write the node's phase
	n.Phase, n.FinishedAt = argo.NodeSucceeded, metav1.NewTime(s.now)
	s.wf.Status.Nodes[n.ID] = n
	if plan := s.tick(); plan.Again != time.Minute {
		t.Errorf("again in %v", plan.Again)
	}
	s.run()
	s.wantPhase(argo.WorkflowSucceeded)
}

func TestDecide_suspendedWorkflow(t *testing.T) {
	s := newSim(t, wf("entrypoint: m\nsuspend: true\ntemplates:\n- name: m\n  steps: [[{name: a, template: nop}]]"), nil).run()
	if len(s.order) != 0 || s.wf.Status.Phase != argo.WorkflowRunning {
		t.Fatal(s.tree())
	}
	s.wf.Spec.Suspend = nil
	s.run()
	s.wantPhase(argo.WorkflowSucceeded)
}

func TestDecide_shutdown(t *testing.T) {
	spec := wf("entrypoint: m\nonExit: nop\ntemplates:\n- name: m\n  dag: {tasks: [{name: a, template: nop}, {name: b, template: nop}, {name: c, template: nop, depends: a}]}")
	for strategy, exitRuns := range map[argo.ShutdownStrategy]bool{argo.ShutdownStop: true, argo.ShutdownTerminate: false} {
		t.Run(string(strategy), func(t *testing.T) {
			s := newSim(t, spec, func(node string, _ *corev1.Pod) outcome {
				return outcome{stays: node == "wf.a"}
			})
			s.tick()
			a := s.node(".a")
			s.pods[PodName("wf", &a)].Status.Phase = corev1.PodRunning
			s.tick()
			s.wf.Spec.Shutdown = strategy
			s.run()
			s.wantPhase(argo.WorkflowFailed)
			if s.wf.Status.Message != "Stopped with strategy '"+string(strategy)+"'" {
				t.Errorf("message %q", s.wf.Status.Message)
			}
			tree := s.tree()
			if strings.Contains(tree, "wf.onExit Pod Succeeded") != exitRuns || strings.Contains(tree, "wf.c Pod") {
				t.Error(tree)
			}
			if n := s.node(".a"); n.Phase != argo.NodeFailed || n.Message != "workflow shutdown with strategy: "+string(strategy) {
				t.Errorf("%+v", n)
			}
		})
	}
}

func TestDecide_deadline(t *testing.T) {
	s := newSim(t, wf("entrypoint: m\nactiveDeadlineSeconds: 60\ntemplates:\n- name: m\n  steps: [[{name: a, template: nop}], [{name: b, template: nop}]]"),
		func(string, *corev1.Pod) outcome { return outcome{stays: true} })
	if plan := s.tick(); plan.Again != time.Minute {
		t.Errorf("again in %v", plan.Again)
	}
	for _, p := range s.pods {
		p.Status.Phase = corev1.PodRunning
	}
	s.tick()
	s.now = s.now.Add(time.Minute)
	s.run()
	s.wantPhase(argo.WorkflowFailed)
	if s.node("[0].a").Message != "Step exceeded its deadline" || s.wf.Status.Message != "Step exceeded its deadline" {
		t.Errorf("%s\n%s", s.wf.Status.Message, s.tree())
	}
}

func TestDecide_podDeleted(t *testing.T) {
	s := newSim(t, wf("entrypoint: nop\ntemplates:"), func(string, *corev1.Pod) outcome { return outcome{stays: true} })
	s.tick()
	s.pods["wf"].Status.Phase = corev1.PodRunning
	s.tick()
	delete(s.pods, "wf")
	s.tick() // the cache lags: nobody has asked the API server
	if n := s.node(""); n.Phase != argo.NodeRunning {
		t.Fatalf("%+v", n)
	}
	s.gone["wf"] = true
	s.tick()
	s.wantPhase(argo.WorkflowError)
	if s.wf.Status.Message != "pod deleted" {
		t.Errorf("message %q", s.wf.Status.Message)
	}
}

// A crash between creating pods and storing the status must not run a step again.
func TestDecide_adoptsPodsThatItDoesNotRemember(t *testing.T) {
	s := newSim(t, example(t, "dag-diamond.yaml"), nil)
	for range 20 {
		before := s.wf.Status.DeepCopy()
		s.tick()
		s.wf.Status = *before // lost
		s.tick()              // fails the test if a pod is created twice
		if s.wf.Status.Phase.Completed() {
			break
		}
		s.endPods()
	}
	s.wantPhase(argo.WorkflowSucceeded)
	if len(s.order) != 4 {
		t.Errorf("pods %v", s.order)
	}
}

// Nodes whose names have the same hash get ids and pods of their own.
func TestDecide_collidingIDs(t *testing.T) {
	byHash := map[string]int{}
	first, second := -1, -1
	for i := 0; second < 0; i++ {
		h := hash(fmt.Sprintf("wf[0].a(%d:%d)", i, i))
		if j, ok := byHash[h]; ok {
			first, second = j, i
		}
		byHash[h] = i
		if i > 2_000_000 {
			t.Fatal("no collision found")
		}
	}
	e := &engine{wf: &argo.Workflow{ObjectMeta: metav1.ObjectMeta{Name: "wf"}}, nodes: map[string]*argo.NodeStatus{}, byName: map[string]*argo.NodeStatus{}}
	a := e.newNode(call{name: fmt.Sprintf("wf[0].a(%d:%d)", first, first)}, argo.NodeTypePod, argo.NodePending, "")
	b := e.newNode(call{name: fmt.Sprintf("wf[0].a(%d:%d)", second, second)}, argo.NodeTypePod, argo.NodePending, "")
	if a.ID == b.ID || PodName("wf", a) == PodName("wf", b) || len(e.nodes) != 2 {
		t.Errorf("%s and %s: ids %s and %s", a.Name, b.Name, a.ID, b.ID)
	}
	// The pod of the first one exists, its node was lost in a crash: the second one must not take it over.
	e = &engine{wf: e.wf, nodes: map[string]*argo.NodeStatus{}, byName: map[string]*argo.NodeStatus{}}
	e.seen.Pods = map[string]*corev1.Pod{PodName("wf", a): {ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{argo.AnnotationNodeName: a.Name}}}}
	c := e.newNode(call{name: b.Name}, argo.NodeTypePod, argo.NodePending, "")
	e.unlessTaken(c)
	if PodName("wf", c) == PodName("wf", a) {
		t.Errorf("%s takes the pod of %s", c.Name, a.Name)
	}
}

func TestDecide_globalOutputs(t *testing.T) {
	s := newSim(t, wf(`entrypoint: m
templates:
- name: m
  steps: [[{name: a, template: mid}], [{name: b, template: echo, arguments: {parameters: [{name: msg, value: '{{workflow.outputs.parameters.all}}'}]}}]]
- name: mid
  outputs: {parameters: [{name: o, globalName: all, valueFrom: {parameter: '{{steps.x.outputs.parameters.out}}'}}]}
  steps: [[{name: x, template: echo}]]`), ends(map[string]outcome{"[0].a[0].x": {parameters: map[string]string{"out": "7"}}})).run()
	s.wantPhase(argo.WorkflowSucceeded)
	if got := s.args("[1].b"); !strings.HasSuffix(got, "echo 7") {
		t.Errorf("command %q", got)
	}
	if out := s.wf.Status.Outputs; out == nil || len(out.Parameters) != 1 || out.Parameters[0].Name != "all" {
		t.Errorf("outputs %+v", out)
	}
}

func TestDecide_timeToLiveAndPods(t *testing.T) {
	s := newSim(t, wf("entrypoint: nop\nttlStrategy: {secondsAfterCompletion: 100, secondsAfterFailure: 10}\npodGC: {strategy: OnPodSuccess}\ntemplates:"), nil).run()
	s.wantPhase(argo.WorkflowSucceeded)
	if len(s.pods) != 0 {
		t.Errorf("%d pods are left", len(s.pods))
	}
	plan := s.tick()
	if plan.DeleteWorkflow || plan.Again <= 90*time.Second {
		t.Errorf("again in %v", plan.Again)
	}
	s.now = s.now.Add(plan.Again)
	if plan = s.tick(); !plan.DeleteWorkflow {
		t.Error("it is kept for ever")
	}
}

func TestPodName(t *testing.T) {
	n := &argo.NodeStatus{Name: "wf.a", ID: NodeID("wf", "wf.a"), TemplateName: "nop"}
	if got := PodName("wf", n); got != "wf-nop-"+hash("wf.a") {
		t.Errorf("%q", got)
	}
	n.TemplateName = strings.Repeat("x", 300)
	if got := PodName("wf", n); len(got) > 253 {
		t.Errorf("%d bytes", len(got))
	}
	// The pair that was reported upstream for this hash function.
	if NodeID("hello-world", "hello-world") != "hello-world" || NodeID("wf", "wf[0].a") != "wf-"+hash("wf[0].a") {
		t.Error("ids")
	}
}
