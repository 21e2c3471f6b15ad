package words

import (
	"testing"

	"k8s.io/kubectl/pkg/util/i18n"
)

func TestInit_comesFirst(t *testing.T) {
	// kubectl refuses once its translations were read.
	if err := i18n.SetLoadTranslationsFunc(func() error { return load(nil) }); err != nil {
		t.Error(err)
	}
	if err := load([]string{"kiwerk", "kubectl", "get"}); err != nil {
		t.Error(err)
	}
}
