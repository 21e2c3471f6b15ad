package lineage

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

func TestSplit(t *testing.T) {
	const sum = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb" // of "a"
	tags, files := Split([]model.Pair{
		{Key: "own", Value: "x"}, {Key: TagPod, Value: "forged"}, {Key: TagWorkflow + ".uid", Value: "forged"}, {Key: TagPackages, Value: "a"}, {Key: TagDiff, Value: "a"},
	}, []model.Pair{{Key: TagPod, Value: "p"}, {Key: TagNode, Value: ""}})
	if diff := cmp.Diff([]model.Pair{
		{Key: "own", Value: "x"}, {Key: TagPackages + ".sha256", Value: sum}, {Key: TagDiff + ".sha256", Value: sum}, {Key: TagPod, Value: "p"},
	}, tags); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]File{{PackagesFile, "a"}, {DiffFile, "a"}}, files); diff != "" {
		t.Error(diff)
	}
}

func TestNames(t *testing.T) {
	v := model.ModelVersion{Name: "digits", Version: 3, Aliases: []string{"champion"}, ModelID: "m-1"}
	for address, want := range map[string]bool{
		"models:/digits/3": true, "models:/digits@champion": true, "models:/m-1": true, "models:///digits/3": true,
		"models:/digits/2": false, "models:/digits@other": false, "models:/other/3": false, "s3://digits/3": false, "models:/digits/latest": false,
	} {
		if got := names(address, v, false); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
	if !names("models:/digits/latest", v, true) {
		t.Error("the newest version is not found by its name")
	}
}
