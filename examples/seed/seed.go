package seed

import (
	"fmt"
	"strings"
)

// Promise is what the corrected block does on a local cluster.
type Promise string

// Promises.
const (
	Ready    Promise = "becomes Ready"
	Complete Promise = "runs to Complete"
	Runs     Promise = "runs to its end"
	Applies  Promise = "applies only"
	ToCome   Promise = "still to come"
)

// Block is one of the code blocks.
type Block struct {
	// File is its name in found, restored and corrected.
	File string
	// First and Last are its lines in the text.
	First, Last int
	Promise     Promise
	// Why says what was wrong, and why it does not run if it does not.
	Why string
	// Finds are the rules of kiwerk lint with findings in the restored one, apart from the habits that most share.
	Finds []string
	// Object is KIND/NAME of what the promise is about.
	Object string
}

// Habits are rules that almost every block of the text breaks; they are not repeated in the table.
var Habits = []string{"latest-tag", "no-security-context", "no-limits", "no-probes", "reference-missing"}

// Blocks are all code blocks in the order of the text.
var Blocks = []Block{
	{"01-gpu-node.yaml", 48, 58, Applies, "a Node object makes no machine; `kiwerk up --simulate-gpus` gives a node with GPUs", []string{"hand-made-node"}, "Node/gpu-node-1"},
	{"02-gpu-pod.yaml", 60, 85, Complete, "unequal GPU requests are refused; no toleration, no claims, no program", []string{"claim-missing", "extended-resource", "gpu-toleration"}, "Pod/gpu-training-pod"},
	{"03-multi-gpu-job.yaml", 87, 113, Complete, "one process of WORLD_SIZE 4 waits for ever; torchrun starts one per GPU", []string{"gpu-toleration", "world-size"}, "Job/multi-gpu-training"},
	{"04-kubeflow-installation.sh", 126, 136, Runs, "kfctl ended in 2021 and its KfDef needs APIs that are gone; `kiwerk up` is the platform", nil, ""},
	{"05-kubeflow-pipeline.py", 138, 167, ToCome, "dsl.ContainerOp was removed with kfp 2; the corrected one needs the Kubeflow Pipelines API", nil, ""},
	{"06-mlflow-server.yaml", 175, 211, Ready, "python:3.8 has no mlflow; the database lay in the container", []string{"state-in-container"}, "Deployment/mlflow-server"},
	{"07-mlflow-integration.py", 213, 227, Runs, "train_model was missing; scikit-learn in place of PyTorch", nil, ""},
	{"08-tensorflow-serving.yaml", 230, 260, Ready, "the claim was missing, and three replicas need one that many may read", []string{"claim-missing"}, "Deployment/tensorflow-serving"},
	{"09-tensorflow-serving-service.yaml", 262, 277, Ready, "right as it is", nil, "Service/tensorflow-serving"},
	{"10-tensorflow-client.py", 279, 289, Runs, "tf.contrib is gone since TensorFlow 2.0, requests was not imported", nil, ""},
	{"11-pytorch-serve.yaml", 292, 325, Ready, "torchserve without --foreground ends the container; the claim was missing", []string{"claim-missing"}, "Deployment/pytorch-serve"},
	{"12-pytorch-archive.sh", 327, 333, ToCome, "needs PyTorch's archiver, and serving of .mar files belongs to serving runtimes", nil, ""},
	{"13-ml-pipeline.yaml", 336, 373, Complete, "`when` named the template instead of the step", []string{"gpu-toleration", "workflow-step"}, "Workflow/ml-pipeline"},
	{"14-model-retraining.yaml", 375, 395, Complete, "batch/v1beta1 was removed in 1.25", []string{"removed-api"}, "CronJob/model-retraining"},
	{"15-model-monitoring.yaml", 398, 425, Ready, "the Secret was missing", nil, "Deployment/model-monitoring"},
	{"16-data-drift.py", 427, 436, Runs, "send_alert was missing", nil, ""},
	{"17-security-context.yaml", 449, 457, Complete, "a fragment; the corrected one is a pod that shows that it holds", []string{"not-an-object"}, "Pod/security-context"},
	{"18-cost-monitoring.yaml", 465, 475, Applies, "a ConfigMap that nothing reads yet: cost belongs to a capability still to come", nil, "ConfigMap/cost-monitoring"},
}

// Image is one that the blocks name, and the small program in its place.
type Image struct {
	Name string
	// Dir lies below images; its files are the image's /app.
	Dir string
	// Entrypoint runs when the manifest says no command.
	Entrypoint []string
}

// Images of the corrected blocks. MLflow's and busybox's are not among them: they are what their names say.
var Images = []Image{
	{Name: "tensorflow/tensorflow:2.19.0-gpu", Dir: "tensorflow"},
	{Name: "pytorch/pytorch:2.9.0-cuda12.8-cudnn9-runtime", Dir: "pytorch"},
	{Name: "tensorflow/serving:2.19.1", Dir: "tensorflow-serving", Entrypoint: []string{"python3", "/app/serve.py"}},
	{Name: "pytorch/torchserve:0.12.0-cpu", Dir: "torchserve"},
	{Name: "data-validation:1.0", Dir: "data-validation"},
	{Name: "training:1.0", Dir: "training"},
	{Name: "evaluation:1.0", Dir: "evaluation"},
	{Name: "deployment:1.0", Dir: "deployment"},
	{Name: "retraining:1.0", Dir: "retraining"},
	{Name: "model-monitoring:1.0", Dir: "model-monitoring", Entrypoint: []string{"python3", "/app/monitor.py"}},
}

// Table is the list of blocks for README.md.
func Table() string {
	var b strings.Builder
	b.WriteString("| block | lines | the corrected one | what was wrong | lint finds |\n|---|---|---|---|---|\n")
	for _, k := range Blocks {
		finds := make([]string, len(k.Finds))
		for i, f := range k.Finds {
			finds[i] = "`" + f + "`"
		}
		fmt.Fprintf(&b, "| [%s](corrected/%[1]s) | %d–%d | %s | %s | %s |\n", k.File, k.First, k.Last, k.Promise, k.Why, strings.Join(finds, ", "))
	}
	return b.String()
}
