package words

import (
	"os"
	"slices"

	"k8s.io/kubectl/pkg/util/i18n"
)

func init() {
	// It fails if a command of kubectl came first; then they were read for nothing.
	_ = i18n.SetLoadTranslationsFunc(func() error { return load(os.Args) })
}

func load(args []string) error {
	if !slices.Contains(args, "kubectl") {
		return nil
	}
	return i18n.LoadTranslations("kubectl", nil)
}
