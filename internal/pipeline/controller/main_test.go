package controller

import (
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	kwtest.Main(m)
}
