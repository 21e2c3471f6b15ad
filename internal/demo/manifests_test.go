package demo

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	argov1 "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	kiwerkv1 "github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	servingv1 "github.com/kiwerk/kiwerk/api/serving/v1beta1"
	qualityinspection "github.com/kiwerk/kiwerk/examples/quality-inspection"
)

// Every document of the example has only fields that the platform knows.
func TestManifests_haveNoUnknownField(t *testing.T) {
	types := map[string]func() any{
		"WorkflowTemplate": func() any { return new(argov1.WorkflowTemplate) },
		"Workflow":         func() any { return new(argov1.Workflow) },
		"ModelMonitor":     func() any { return new(kiwerkv1.ModelMonitor) },
		"RetrainPolicy":    func() any { return new(kiwerkv1.RetrainPolicy) },
		"InferenceService": func() any { return new(servingv1.InferenceService) },
	}
	checked := 0
	for _, doc := range documents(t) {
		var head struct {
			Kind string `json:"kind"`
		}
		if err := sigsyaml.Unmarshal(doc, &head); err != nil {
			t.Fatal(err)
		}
		if into, ok := types[head.Kind]; ok {
			checked++
			if err := sigsyaml.UnmarshalStrict(doc, into()); err != nil {
				t.Errorf("%s: %v\n%s", head.Kind, err, doc)
			}
		}
		if _, ok := kindResource[head.Kind]; !ok {
			t.Errorf("the demo cannot apply objects of kind %q", head.Kind)
		}
	}
	if checked < len(types) {
		t.Errorf("only %d documents of the platform's kinds were found", checked)
	}
}

// documents are those of all manifests and of the endpoint that the steps carry.
func documents(t *testing.T) [][]byte {
	t.Helper()
	files, err := fs.Glob(qualityinspection.Manifests, "manifests/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests: %v", err)
	}
	texts := [][]byte{stepFiles(t)["steps/inferenceservice.yaml"]}
	for _, f := range files {
		text, err := fs.ReadFile(qualityinspection.Manifests, f)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	var docs [][]byte
	for _, text := range texts {
		split := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
		for {
			doc, err := split.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, doc)
		}
	}
	return docs
}

// stepFiles unpacks the archive that pods get.
func stepFiles(t *testing.T) map[string][]byte {
	t.Helper()
	packed, err := qualityinspection.StepsArchive()
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for archive := tar.NewReader(zip); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStepsArchive_isTheSameEachTime(t *testing.T) {
	first, err := qualityinspection.StepsArchive()
	if err != nil {
		t.Fatal(err)
	}
	second, err := qualityinspection.StepsArchive()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("two archives differ")
	}
	for _, name := range []string{"ingest", "train", "evaluate", "register_deploy", "images", "platform_client"} {
		if !strings.Contains(string(stepFiles(t)["steps/"+name+".py"]), `"""`) {
			t.Errorf("steps/%s.py is missing or undocumented", name)
		}
	}
}
