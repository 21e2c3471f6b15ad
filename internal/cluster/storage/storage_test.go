package storage

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestUnsupported(t *testing.T) {
	block := corev1.PersistentVolumeBlock
	for name, c := range map[string]struct {
		spec corev1.PersistentVolumeClaimSpec
		want string
	}{
		"Plain":      {corev1.PersistentVolumeClaimSpec{}, ""},
		"Block":      {corev1.PersistentVolumeClaimSpec{VolumeMode: &block}, "spec.volumeMode"},
		"Selector":   {corev1.PersistentVolumeClaimSpec{Selector: &metav1.LabelSelector{}}, "spec.selector"},
		"DataSource": {corev1.PersistentVolumeClaimSpec{DataSource: &corev1.TypedLocalObjectReference{}}, "spec.dataSource"},
	} {
		t.Run(name, func(t *testing.T) {
			got := unsupported(&corev1.PersistentVolumeClaim{Spec: c.spec})
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want the field %q", got, c.want)
			}
		})
	}
}

func TestVolumeFor_keepsThePolicyOfTheClass(t *testing.T) {
	retain := corev1.PersistentVolumeReclaimRetain
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", UID: "u-1"}}
	for name, c := range map[string]struct {
		class *corev1.PersistentVolumeReclaimPolicy
		want  corev1.PersistentVolumeReclaimPolicy
	}{
		"Default": {nil, corev1.PersistentVolumeReclaimDelete},
		"Retain":  {&retain, corev1.PersistentVolumeReclaimRetain},
	} {
		t.Run(name, func(t *testing.T) {
			v := volumeFor(claim, &storagev1.StorageClass{ReclaimPolicy: c.class}, "/v")
			if v.Spec.PersistentVolumeReclaimPolicy != c.want || v.Name != "pvc-u-1" || v.Spec.HostPath.Path != "/v/pvc-u-1" {
				t.Errorf("made %+v", v)
			}
		})
	}
}

func TestReclaimable(t *testing.T) {
	good := func() *corev1.PersistentVolume {
		v := volumeFor(&corev1.PersistentVolumeClaim{}, &storagev1.StorageClass{}, "/v")
		v.Status.Phase = corev1.VolumeReleased
		return v
	}
	for name, c := range map[string]struct {
		change func(*corev1.PersistentVolume)
		want   bool
	}{
		"Released": {func(*corev1.PersistentVolume) {}, true},
		"Bound":    {func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeBound }, false},
		"Retained": {func(v *corev1.PersistentVolume) {
			v.Spec.PersistentVolumeReclaimPolicy = corev1.PersistentVolumeReclaimRetain
		}, false},
		"NotOurs":      {func(v *corev1.PersistentVolume) { v.Annotations = nil }, false},
		"OtherPath":    {func(v *corev1.PersistentVolume) { v.Spec.HostPath.Path = "/etc" }, false},
		"OtherKind":    {func(v *corev1.PersistentVolume) { v.Spec.HostPath = nil }, false},
		"BeingDeleted": {func(v *corev1.PersistentVolume) { now := metav1.Now(); v.DeletionTimestamp = &now }, false},
	} {
		t.Run(name, func(t *testing.T) {
			v := good()
			c.change(v)
			if got := reclaimable(v, "/v"); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestProvisioner_makeFolder(t *testing.T) {
	p := &Provisioner{dir: t.TempDir()}
	for range 2 { // The second time after a crash between folder and volume.
		if err := p.makeFolder("pvc-1"); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(p.dir, "pvc-1"))
	if err != nil || info.Mode().Perm() != folderMode {
		t.Errorf("folder %v (%v), want mode %o", info, err, folderMode)
	}
	if err := p.makeFolder("../outside"); err == nil {
		t.Error("a folder outside was made")
	}
}
