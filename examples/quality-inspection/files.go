package qualityinspection

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io/fs"
)

// Manifests are the Kubernetes objects of the example.
//
//go:embed manifests/*.yaml
var Manifests embed.FS

//go:embed steps/*.py steps/*.yaml
var steps embed.FS

// StepsArchive is the folder of the steps as a tar.gz, the same bytes each time.
func StepsArchive() ([]byte, error) {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	archive := tar.NewWriter(zip)
	entries, err := fs.ReadDir(steps, "steps")
	if err != nil {
		return nil, fmt.Errorf("steps of the example: %w", err)
	}
	for _, e := range entries {
		content, err := steps.ReadFile("steps/" + e.Name())
		if err != nil {
			return nil, fmt.Errorf("steps of the example: %w", err)
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: "steps/" + e.Name(), Mode: 0o644, Size: int64(len(content))}
		if err := archive.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("steps of the example: %w", err)
		}
		if _, err := archive.Write(content); err != nil {
			return nil, fmt.Errorf("steps of the example: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return nil, fmt.Errorf("steps of the example: %w", err)
	}
	if err := zip.Close(); err != nil {
		return nil, fmt.Errorf("steps of the example: %w", err)
	}
	return b.Bytes(), nil
}
