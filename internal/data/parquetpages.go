package data

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// Limits of Parquet files. The library allocates what page headers announce,
// before it has seen the bytes.
const (
	maxParquetRows  = 100_000_000
	maxPageBytes    = 256 << 20
	maxPageValues   = 16 << 20
	maxHeaderBytes  = 64 << 10
	maxParquetPages = 1_000_000
	maxFooterBytes  = 64 << 20
	trailerBytes    = 8 // length of the footer and "PAR1"
)

// checkFooter looks at what the library believes without a question: the length of the footer.
func checkFooter(r io.ReaderAt, size int64) error {
	var trailer [trailerBytes]byte
	if size < 2*trailerBytes {
		return errors.New("it is too short")
	}
	if _, err := r.ReadAt(trailer[:], size-trailerBytes); err != nil {
		return err
	}
	length := int64(binary.LittleEndian.Uint32(trailer[:4]))
	if string(trailer[4:]) != "PAR1" {
		return errors.New("it does not end with PAR1; the upload may have been cut off")
	}
	if length > size-trailerBytes-4 || length > maxFooterBytes {
		return fmt.Errorf("its footer claims %d bytes", length)
	}
	return nil
}

// checkPages walks the headers of all pages and refuses sizes that cannot be true.
func checkPages(file *parquet.File, r io.ReaderAt, size int64) error {
	meta := file.Metadata()
	if meta.NumRows > maxParquetRows {
		return fmt.Errorf("it has %d rows, at most %d are accepted", meta.NumRows, maxParquetRows)
	}
	pages := 0
	for g := range meta.RowGroups {
		group := &meta.RowGroups[g]
		if group.NumRows < 0 || group.NumRows > meta.NumRows {
			return fmt.Errorf("row group %d claims %d of %d rows", g, group.NumRows, meta.NumRows)
		}
		for c := range group.Columns {
			n, err := checkChunk(&group.Columns[c].MetaData, group.NumRows, r, size)
			if err != nil {
				return fmt.Errorf("row group %d, column %d: %w", g, c, err)
			}
			if pages += n; pages > maxParquetPages {
				return errors.New("it has too many pages")
			}
		}
	}
	return nil
}

func checkChunk(m *format.ColumnMetaData, rows int64, r io.ReaderAt, size int64) (pages int, err error) {
	start := m.DataPageOffset
	if m.DictionaryPageOffset > 0 && m.DictionaryPageOffset < start {
		start = m.DictionaryPageOffset
	}
	end := start + m.TotalCompressedSize
	if start < 0 || end < start || end > size {
		return 0, fmt.Errorf("it lies at %d to %d of a file of %d bytes", start, end, size)
	}
	if m.NumValues != rows {
		return 0, fmt.Errorf("it has %d values in %d rows", m.NumValues, rows)
	}
	buffer := make([]byte, maxHeaderBytes)
	for at := start; at < end; pages++ {
		header, length, err := readPageHeader(r, at, buffer[:min(maxHeaderBytes, end-at)])
		if err != nil {
			return pages, err
		}
		at += int64(length)
		compressed, plain := int64(header.CompressedPageSize), int64(header.UncompressedPageSize)
		if compressed < 0 || plain < 0 || compressed > end-at || plain > maxPageBytes {
			return pages, fmt.Errorf("a page claims %d bytes, %d when unpacked", compressed, plain)
		}
		if n := pageValues(header); n < 0 || n > maxPageValues || header.Type != format.DictionaryPage && n > rows {
			return pages, fmt.Errorf("a page claims %d values", n)
		}
		at += compressed
	}
	return pages, nil
}

func readPageHeader(r io.ReaderAt, at int64, buffer []byte) (h *format.PageHeader, length int, err error) {
	n, err := r.ReadAt(buffer, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, err
	}
	var protocol thrift.CompactProtocol
	br := protocol.NewReaderFromBytes(buffer[:n])
	h = &format.PageHeader{}
	if err := thrift.NewDecoder(br).Decode(h); err != nil {
		return nil, 0, fmt.Errorf("a page has no readable header: %w", err)
	}
	return h, br.BytesRead(), nil
}

func pageValues(h *format.PageHeader) int64 {
	switch h.Type {
	case format.DataPage:
		return int64(h.DataPageHeader.V.NumValues)
	case format.DataPageV2:
		return int64(h.DataPageHeaderV2.V.NumValues)
	case format.DictionaryPage:
		return int64(h.DictionaryPageHeader.V.NumValues)
	case format.IndexPage:
	}
	return 0
}
