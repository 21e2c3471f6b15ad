package demo

import (
	"math"
	"math/rand/v2"
)

// Camera is how the line photographs. The zero Camera delivers images as they
// are.
type Camera struct {
	Blur       float64 // standard deviation of the blur, in pixels
	Brightness float64 // factor; 0 means unchanged
	Noise      float64 // standard deviation, on the scale of grey values
}

// WornCamera is the camera after the change: out of focus, darker, noisier.
var WornCamera = Camera{Blur: 0.6, Brightness: 0.55, Noise: 1.0}

// Take photographs an image; each photograph has noise of its own.
func (c Camera) Take(img Image, rng *rand.Rand) [pixels]float64 {
	p := img.Pixels
	if c.Blur > 0 {
		p = blur(p, c.Blur)
	}
	for i := range p {
		if c.Brightness > 0 {
			p[i] *= c.Brightness
		}
		if c.Noise > 0 {
			p[i] += rng.NormFloat64() * c.Noise
		}
		// A sensor delivers nothing below black or above white.
		p[i] = min(max(p[i], 0), white)
	}
	return p
}

// blur is a Gaussian filter, cut off after four standard deviations, with the
// image mirrored at its edges.
func blur(p [pixels]float64, sigma float64) [pixels]float64 {
	kernel := gaussian(sigma)
	return transpose(blurRows(transpose(blurRows(p, kernel)), kernel))
}

func gaussian(sigma float64) []float64 {
	radius := int(4*sigma + 0.5)
	kernel := make([]float64, 2*radius+1)
	sum := 0.0
	for i := range kernel {
		x := float64(i - radius)
		kernel[i] = math.Exp(-x * x / (2 * sigma * sigma))
		sum += kernel[i]
	}
	for i := range kernel {
		kernel[i] /= sum
	}
	return kernel
}

func blurRows(p [pixels]float64, kernel []float64) [pixels]float64 {
	var out [pixels]float64
	radius := len(kernel) / 2
	for row := range side {
		for col := range side {
			for k, weight := range kernel {
				out[row*side+col] += weight * p[row*side+mirror(col+k-radius)]
			}
		}
	}
	return out
}

// mirror maps a place beyond an edge to its mirror image: …1 0 | 0 1 2….
func mirror(i int) int {
	const period = 2 * side
	i = (i%period + period) % period
	if i >= side {
		i = period - 1 - i
	}
	return i
}

func transpose(p [pixels]float64) [pixels]float64 {
	var out [pixels]float64
	for i := range p {
		out[i%side*side+i/side] = p[i]
	}
	return out
}
