package pack

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
)

const (
	// plain is how many bytes of nodes are stored as they are; etcd refuses objects of 1.5 MiB.
	plain = 512 << 10
	// most bounds what is unpacked.
	most = 256 << 20
)

// Pack is the status as it is stored.
func Pack(s argo.WorkflowStatus) (argo.WorkflowStatus, error) {
	s.CompressedNodes = ""
	raw, err := json.Marshal(s.Nodes)
	if err != nil || len(raw) <= plain {
		return s, err
	}
	var b bytes.Buffer
	enc := base64.NewEncoder(base64.StdEncoding, &b)
	z := gzip.NewWriter(enc)
	if _, err := z.Write(raw); err != nil {
		return s, err
	}
	if err := z.Close(); err != nil {
		return s, err
	}
	if err := enc.Close(); err != nil {
		return s, err
	}
	s.CompressedNodes, s.Nodes = b.String(), nil
	return s, nil
}

// Unpack restores the nodes. Where both forms are there, somebody has patched
// single nodes since; their fields count.
func Unpack(s *argo.WorkflowStatus) error {
	if s.CompressedNodes == "" {
		return nil
	}
	raw, err := unzip(s.CompressedNodes)
	if err != nil {
		return fmt.Errorf("status.compressedNodes: %w", err)
	}
	nodes := argo.Nodes{}
	if err := json.Unmarshal(raw, &nodes); err != nil {
		return fmt.Errorf("status.compressedNodes: %w", err)
	}
	for id, n := range s.Nodes {
		if nodes[id], err = overlay(nodes[id], n); err != nil {
			return fmt.Errorf("status.nodes.%s: %w", id, err)
		}
	}
	s.CompressedNodes, s.Nodes = "", nodes
	return nil
}

func unzip(text string) ([]byte, error) {
	z, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, bytes.NewReader([]byte(text))))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(z, most+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > most {
		return nil, fmt.Errorf("unpacks to more than %d bytes", most)
	}
	return raw, nil
}

// overlay puts the fields that are set in a patched node on the whole one.
func overlay(whole, part argo.NodeStatus) (argo.NodeStatus, error) {
	base, err := json.Marshal(whole)
	if err != nil {
		return whole, err
	}
	patch, err := json.Marshal(part)
	if err != nil {
		return whole, err
	}
	var fields map[string]any
	if err := json.Unmarshal(patch, &fields); err != nil {
		return whole, err
	}
	for k, v := range fields {
		if v == nil || v == "" {
			delete(fields, k) // not given
		}
	}
	if patch, err = json.Marshal(fields); err != nil {
		return whole, err
	}
	merged, err := jsonpatch.MergePatch(base, patch)
	if err != nil {
		return whole, err
	}
	var n argo.NodeStatus
	return n, json.Unmarshal(merged, &n)
}

// Patch turns a merge patch of a workflow whose nodes are compressed into one
// that replaces the compressed form. status is unpacked.
func Patch(status argo.WorkflowStatus, patch map[string]any) error {
	change, ok := patch["status"].(map[string]any)
	if !ok || change["nodes"] == nil {
		return nil
	}
	nodes, err := json.Marshal(change["nodes"])
	if err != nil {
		return err
	}
	whole, err := json.Marshal(status.Nodes)
	if err != nil {
		return err
	}
	if whole, err = jsonpatch.MergePatch(whole, nodes); err != nil {
		return err
	}
	status.Nodes = nil
	if err := json.Unmarshal(whole, &status.Nodes); err != nil {
		return err
	}
	packed, err := Pack(status)
	if err != nil {
		return err
	}
	if packed.CompressedNodes == "" {
		change["nodes"], change["compressedNodes"] = packed.Nodes, nil
		return nil
	}
	change["nodes"], change["compressedNodes"] = nil, packed.CompressedNodes
	return nil
}
