package demo

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"strings"
)

const (
	side   = 8
	pixels = side * side
	white  = 16 // the brightest grey value
)

// Image is one photograph of a stamped number and what is really on it.
type Image struct {
	Index  int // its place in the collection
	Pixels [pixels]float64
	Label  int
}

//go:embed digits.py
var digitsScript string

// loadImages runs python to get the images that scikit-learn carries.
func loadImages(ctx context.Context, python string) ([]Image, error) {
	cmd := exec.CommandContext(ctx, python, "-c", digitsScript)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		last := lastLine(stderr.String())
		return nil, fmt.Errorf("cannot read the images of scikit-learn with %s: %s: run make setup, or name a Python that has scikit-learn with KIWERK_PYTHON: %w", python, last, err)
	}
	return parseImages(bytes.NewReader(out))
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// parseImages reads rows of 64 grey values and a label.
func parseImages(r io.Reader) ([]Image, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = pixels + 1
	var images []Image
	for {
		row, err := in.Read()
		if errors.Is(err, io.EOF) {
			return images, nil
		}
		if err != nil {
			return nil, fmt.Errorf("image %d: %w", len(images), err)
		}
		img, err := parseImage(row)
		if err != nil {
			return nil, fmt.Errorf("image %d: %w", len(images), err)
		}
		img.Index = len(images)
		images = append(images, img)
	}
}

func parseImage(row []string) (Image, error) {
	var img Image
	for i := range img.Pixels {
		v, err := strconv.ParseFloat(row[i], 64)
		if err != nil || !(v >= 0 && v <= white) {
			return Image{}, fmt.Errorf("pixel %d is %q, want a number from 0 to %d", i, row[i], white)
		}
		img.Pixels[i] = v
	}
	label, err := strconv.Atoi(row[pixels])
	if err != nil || label < 0 || label > 9 {
		return Image{}, fmt.Errorf("label is %q, want a digit", row[pixels])
	}
	img.Label = label
	return img, nil
}

// Roles are what images are for. No image is in two of them.
type Roles struct {
	Training    []Image // the first model is trained on these
	Gate        []Image // and judged on these before it is deployed
	Before      []Image // photographed on the line before the camera changes
	Labelled    []Image // photographed after the change; their labels come back
	Measurement []Image // photographed after the change to measure by; nothing is ever trained on them
}

// How many images each role has. Windows are whole parts of Before and
// Labelled, so that a window never sees an image twice.
const (
	trainingImages = 480
	gateImages     = 100
	beforeImages   = 300
	labelledImages = 540

	windowImages  = 60
	windowsBefore = 12
)

// deal gives each image its one role. The same seed deals the same.
func deal(images []Image, seed uint64) (Roles, error) {
	fixed := trainingImages + gateImages + beforeImages + labelledImages
	if len(images) < fixed+windowImages {
		return Roles{}, fmt.Errorf("the collection has %d images, at least %d are needed", len(images), fixed+windowImages)
	}
	shuffled := append([]Image(nil), images...)
	rng := rand.New(rand.NewPCG(seed, 1))
	rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	take := func(n int) []Image {
		part := shuffled[:n:n]
		shuffled = shuffled[n:]
		return part
	}
	return Roles{
		Training:    take(trainingImages),
		Gate:        take(gateImages),
		Before:      take(beforeImages),
		Labelled:    take(labelledImages),
		Measurement: take(len(shuffled)),
	}, nil
}

// rawCSV is how images lie in the line's raw files.
func rawCSV(images []Image) []byte {
	var b bytes.Buffer
	for i := range pixels {
		fmt.Fprintf(&b, "p%02d,", i)
	}
	b.WriteString("label\n")
	for _, img := range images {
		for _, v := range img.Pixels {
			b.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(img.Label))
		b.WriteByte('\n')
	}
	return b.Bytes()
}
