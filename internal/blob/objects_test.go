package blob_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/blob/blobtest"
)

// prefixes gives each test of the suite a place of its own.
func prefixes(uri string) func(t *testing.T) blob.Bucket {
	var n atomic.Int32
	return func(t *testing.T) blob.Bucket {
		t.Helper()
		b, err := blob.Open(t.Context(), fmt.Sprintf("%s/team %d/art", uri, n.Add(1)))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

func TestS3(t *testing.T) {
	open := prefixes(blobtest.StartS3(t))
	blobtest.Exercise(t, open)
	blobtest.ExerciseSigner(t, open)
}

func TestGCS(t *testing.T) {
	blobtest.Exercise(t, prefixes(blobtest.StartGCS(t)))
}

func TestParsePlace(t *testing.T) {
	for uri, want := range map[string]blob.Place{
		"/srv/a/../b":            {Scheme: "file", Bucket: "/srv/b"},
		"mlartifacts":            {Scheme: "file", Bucket: "mlartifacts"},
		"./a:b":                  {Scheme: "file", Bucket: "a:b"},
		"/srv/a:b":               {Scheme: "file", Bucket: "/srv/a:b"},
		"./mlartifacts/":         {Scheme: "file", Bucket: "mlartifacts"},
		"file:///srv/x%20":       {Scheme: "file", Bucket: "/srv/x "},
		"file:/srv/x":            {Scheme: "file", Bucket: "/srv/x"},
		"file://localhost/srv/x": {Scheme: "file", Bucket: "/srv/x"},
		"s3://models":            {Scheme: "s3", Bucket: "models"},
		"s3://models/a/b/":       {Scheme: "s3", Bucket: "models", Prefix: "a/b"},
		"gs://models/a":          {Scheme: "gs", Bucket: "models", Prefix: "a"},
		"wasbs://c@acc.z12.blob.storage.azure.net": {Scheme: "azure", Bucket: "c", Account: "acc", Host: "acc.z12.blob.storage.azure.net"},
		"wasbs://c@acc.blob.core.windows.net/a/b":  {Scheme: "azure", Bucket: "c", Account: "acc", Host: "acc.blob.core.windows.net", Prefix: "a/b"},
		"abfss://c@acc.dfs.core.windows.net/a":     {Scheme: "azure", Bucket: "c", Account: "acc", Host: "acc.blob.core.windows.net", Prefix: "a"},
	} {
		if got, err := blob.ParsePlace(uri); err != nil || got != want {
			t.Errorf("%s: %+v, %v", uri, got, err)
		}
	}
	for _, uri := range []string{
		"", "s3://", "s3:///a", "s3://b/../c", "s3://b/%2e%2e/c", "s3://b/a//c", "s3://b?x=1", "s3://b#x", "s3://user:pw@b/x", "gs://", "wasbs://c/x", "wasbs://@acc.blob.core.windows.net/x", "wasbs://c@acc/x",
		"wasbs://c@acc.example.com/x", "wasbs://c@acc.blob.core.windows.net.example.com/x", "abfss://c@example.com.dfs.core.windows.net@evil/x", "abfss://c@acc.dfs.fabric.microsoft.com.evil/x",
		"wasb://c@acc.blob.core.windows.net/x", "abfs://c@acc.dfs.core.windows.net/x", "adl://acc/x", "dbfs:/x", "dbfs:/../../etc", "runs:/r/x", "models:/m/1", "mlflow-artifacts:/0", "hdfs:/x", "sftp://h/x", "viewfs://h/x", "r2://b@h/x", "b2://b@h/x", "https://h/x", "https:x", "a+b.c:d",
		"abfss://c@acc.dfs.core.windows.net:80/x", "http://169.254.169.254/x", "ftp://x/y", "hdfs://x/y", "file://other/x", "file://", "a\x00b",
	} {
		if got, err := blob.ParsePlace(uri); err == nil || !strings.Contains(err.Error(), "s3://") {
			t.Errorf("%q: %+v, %v", uri, got, err)
		}
	}
}
