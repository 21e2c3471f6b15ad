package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGPU(t *testing.T) {
	got, _ := run(t, nil, "gpu", "list")
	for _, want := range []string{"default/train", "Xid 79", "NVIDIA H100 (1g.10gb)", "GPU-b"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in\n%s", want, got.out)
		}
	}
	got, seen := run(t, nil, "gpu", "fail", "1", "--xid", "48")
	if diff := cmp.Diff([]any{"1", uint64(48)}, seen); diff != "" || !strings.Contains(got.out, "Xid 48") || !strings.Contains(got.out, "recover 1") {
		t.Errorf("%+v\n%s", got, diff)
	}
	if got, _ := run(t, nil, "--lang", "de", "gpu", "recover", "1"); !strings.Contains(got.out, "wieder brauchbar") {
		t.Errorf("German: %+v", got)
	}
	got, seen = run(t, nil, "gpu", "heal", "GPU-b", "-o", "json")
	var done GPUDone
	if err := json.Unmarshal([]byte(got.out), &done); err != nil || done.UUID != "GPU-b" || seen[0] != "GPU-b" {
		t.Errorf("%+v %v: %v", got, seen, err)
	}
	if got, _ := run(t, nil, "gpu", "fail"); got.code != ExitUsage {
		t.Errorf("without a GPU: %+v", got)
	}
}
