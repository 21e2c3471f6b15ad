package demo

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The blur of one image as scipy.ndimage.gaussian_filter(image, 0.6) gives it.
var (
	sharp = [pixels]float64{
		0, 0, 7, 8, 13, 16, 15, 1, 0, 0, 7, 7, 4, 11, 12, 0, 0, 0, 0, 0, 8, 13, 1, 0, 0, 4, 8, 8, 15, 15, 6, 0,
		0, 2, 11, 15, 15, 4, 0, 0, 0, 0, 0, 16, 5, 0, 0, 0, 0, 0, 9, 15, 1, 0, 0, 0, 0, 0, 13, 5, 0, 0, 0, 0,
	}
	blurred = [pixels]float64{
		0.01791778, 1.1757446, 5.957224947, 8.279205781, 11.472888153, 14.372987273, 12.275534221, 3.157253165,
		0.016722468, 0.989550586, 4.892033445, 6.01623488, 7.171648571, 10.894947119, 9.142238811, 1.963877254,
		0.118645634, 0.868064999, 2.231909564, 3.552500051, 8.246578783, 10.646856704, 4.61560173, 0.654319494,
		0.52032041, 3.185908647, 6.575287213, 8.718644639, 12.59981531, 11.490566716, 4.92825029, 0.735336977,
		0.356652619, 2.788339811, 8.41712471, 12.922465135, 12.015587294, 5.833564609, 1.551091753, 0.180641809,
		0.066005701, 0.82354427, 4.8907734, 11.922668475, 6.697042909, 1.501837328, 0.141599408, 0.004386105,
		0.021874762, 1.393290092, 7.672006016, 10.559894654, 3.270345431, 0.294661152, 0.005625347, 2.6343e-05,
		0.031550413, 2.052222018, 9.272156542, 6.518599954, 1.262176917, 0.047164514, 0.000464295, 0,
	}
)

func TestCamera_blurIsScipys(t *testing.T) {
	got := Camera{Blur: 0.6}.Take(Image{Pixels: sharp}, nil)
	for i, want := range blurred {
		if math.Abs(got[i]-want) > 1e-8 {
			t.Errorf("pixel %d: got %v, want %v", i, got[i], want)
		}
	}
}

func TestCamera_zeroDeliversAsItIs(t *testing.T) {
	if got := (Camera{}).Take(Image{Pixels: sharp}, nil); got != sharp {
		t.Errorf("got %v, want the image itself", got)
	}
}

func TestCamera_wornIsDarkerAndNoisyWithinTheScale(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	first, second := WornCamera.Take(Image{Pixels: sharp}, rng), WornCamera.Take(Image{Pixels: sharp}, rng)
	if first == second {
		t.Error("two photographs have the same noise")
	}
	var before, after float64
	for i := range first {
		if first[i] < 0 || first[i] > white {
			t.Errorf("pixel %d is %v", i, first[i])
		}
		before, after = before+sharp[i], after+first[i]
	}
	if after > 0.8*before {
		t.Errorf("brightness went from %v to %v only", before, after)
	}
}

func TestDeal_eachImageHasOneRole(t *testing.T) {
	images := make([]Image, 1797)
	for i := range images {
		images[i].Index = i
	}
	roles, err := deal(images, 7)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]string{}
	for name, part := range map[string][]Image{
		"training": roles.Training, "gate": roles.Gate, "before": roles.Before,
		"labelled": roles.Labelled, "measurement": roles.Measurement,
	} {
		for _, img := range part {
			if other, twice := seen[img.Index]; twice {
				t.Errorf("image %d is in %s and in %s", img.Index, other, name)
			}
			seen[img.Index] = name
		}
	}
	if len(seen) != len(images) {
		t.Errorf("%d of %d images have a role", len(seen), len(images))
	}
	if len(roles.Before)%windowImages != 0 || len(roles.Labelled)%windowImages != 0 {
		t.Errorf("windows of %d do not divide %d and %d: one would see an image twice", windowImages, len(roles.Before), len(roles.Labelled))
	}
	again, err := deal(images, 7)
	if err != nil {
		t.Fatal(err)
	}
	if again.Measurement[0].Index != roles.Measurement[0].Index {
		t.Error("the same seed dealt differently")
	}
}

func TestDeal_tooFewImages(t *testing.T) {
	if _, err := deal(make([]Image, 100), 1); err == nil {
		t.Error("no error")
	}
}

// The camera must not be reachable from the steps: they could train on what
// they are measured by.
func TestSteps_knowNothingOfTheCamera(t *testing.T) {
	steps, err := filepath.Glob("../../examples/quality-inspection/steps/*.py")
	if err != nil || len(steps) == 0 {
		t.Fatalf("no steps were found: %v", err)
	}
	for _, file := range steps {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"load_digits", "sklearn.datasets", "gaussian", "blur", "brightness"} {
			if strings.Contains(strings.ToLower(string(text)), word) {
				t.Errorf("%s mentions %s", file, word)
			}
		}
	}
}

func TestLoadImages_scikitLearn(t *testing.T) {
	python := "../../.venv/bin/python"
	if _, err := os.Stat(python); err != nil {
		t.Fatal("the images come from scikit-learn; run make setup")
	}
	images, err := loadImages(context.Background(), python)
	if err != nil {
		t.Fatal(err)
	}
	if len(images) != 1797 {
		t.Errorf("got %d images, want 1797", len(images))
	}
	if images[7].Pixels != sharp || images[7].Label != 7 {
		t.Errorf("image 7 is %+v", images[7])
	}
}

func TestLoadImages_pythonWithoutScikitLearn(t *testing.T) {
	_, err := loadImages(context.Background(), "false")
	if err == nil || !strings.Contains(err.Error(), "make setup") {
		t.Errorf("got %v, want an error that names make setup", err)
	}
}

func FuzzParseImages(f *testing.F) {
	row := strings.Repeat("0,", pixels) + "3\n"
	f.Add(row)
	f.Add(row + strings.Repeat("17,", pixels) + "3\n")
	f.Add("")
	f.Add(strings.Repeat("NaN,", pixels) + "3\n")
	f.Add("\"")
	f.Fuzz(func(t *testing.T, text string) {
		images, err := parseImages(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, img := range images {
			for _, v := range img.Pixels {
				if !(v >= 0 && v <= white) {
					t.Fatalf("accepted grey value %v", v)
				}
			}
		}
	})
}
