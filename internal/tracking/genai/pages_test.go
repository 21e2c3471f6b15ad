package genai

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestPages: lists come page by page; what is added or removed between two
// pages neither hides nor repeats the rest.
func TestPages(t *testing.T) { both(t, testPages) }

func testPages(t *testing.T, p *platform) {
	t.Helper()
	for i := range 7 {
		severity := severities[i%4]
		p.must("POST", "issues", fmt.Sprintf(`{"experiment_id":"EXP","name":"n%d","description":"d","severity":%q}`, i, severity))
		p.must("POST", "datasets/create", fmt.Sprintf(`{"name":"n%d","experiment_ids":["EXP"],"tags":"{\"a.\\\"b\":\"%d\"}"}`, i, i%2))
		p.must("POST", "label-schemas/create", fmt.Sprintf(`{"experiment_id":"EXP","name":"n%d","type":"FEEDBACK","input":{"text":{}}}`, i))
		p.must("POST", "review-queues/create", fmt.Sprintf(`{"experiment_id":"EXP","name":"n%d","queue_type":"CUSTOM","users":["Bob"]}`, i))
	}
	queue := at(p.must("GET", "review-queues/list?experiment_id=EXP", ""), "review_queues", 0, "queue_id").(string)
	for i := range 7 {
		p.must("POST", "review-queues/items/add", fmt.Sprintf(`{"queue_id":%q,"item_ids":["tr-%d"]}`, queue, i))
	}
	p.must("POST", "review-queues/items/set-status", fmt.Sprintf(`{"queue_id":%q,"item_id":"tr-6","status":"COMPLETE"}`, queue))
	set := at(p.must("GET", "datasets/search", ""), "datasets", 0, "dataset_id").(string)
	p.must("POST", "datasets/"+set+"/records", `{"records":"[{\"inputs\":{\"a\":1}},{\"inputs\":{\"a\":2}},{\"inputs\":{\"a\":3}}]"}`)

	for name, c := range map[string]struct {
		method, path, field, id string
		query                   map[string]string
		want                    int
	}{
		"Issues":        {"POST", "issues/search", "issues", "name", map[string]string{"experiment_id": "EXP"}, 7},
		"IssuesCounted": {"POST", "issues/search", "issues", "name", map[string]string{"include_trace_count": "true"}, 7},
		"Datasets":      {"GET", "datasets/search", "datasets", "name", map[string]string{"experiment_ids": "EXP", "order_by": "name DESC"}, 7},
		"DatasetsTag":   {"GET", "datasets/search", "datasets", "name", map[string]string{"filter_string": "tags.`a.\"b` = '0' AND name ILIKE 'N%'", "order_by": "last_update_time"}, 4},
		"Labels":        {"GET", "label-schemas/list", "label_schemas", "name", map[string]string{"experiment_id": "EXP"}, 8},
		"Queues":        {"GET", "review-queues/list", "review_queues", "name", map[string]string{"experiment_id": "EXP", "user": "bob"}, 7},
		"QueuesOfItem":  {"GET", "review-queues/list", "review_queues", "name", map[string]string{"experiment_id": "EXP", "item_id": "tr-3"}, 1},
		"Items":         {"GET", "review-queues/items/list", "items", "item_id", map[string]string{"queue_id": queue}, 7},
		"ItemsPending":  {"GET", "review-queues/items/list", "items", "item_id", map[string]string{"queue_id": queue, "status": "PENDING"}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			p := *p
			p.t = t
			all, _ := p.page(c.method, c.path, c.field, c.id, c.query, "")
			c.query["max_results"] = "2"
			var seen []string
			for token, more := "", true; more; more = token != "" {
				var part []string
				part, token = p.page(c.method, c.path, c.field, c.id, c.query, token)
				seen = append(seen, part...)
				if len(part) > 2 {
					t.Fatalf("a page of %d", len(part))
				}
			}
			if len(all) != c.want || !slices.Equal(seen, all) {
				t.Errorf("%v in pages, %v at once, want %d", seen, all, c.want)
			}
		})
	}

	_, token := p.page("POST", "issues/search", "issues", "name", map[string]string{"max_results": "2"}, "")
	p.must("POST", "issues", `{"experiment_id":"EXP","name":"worse","description":"d","severity":"high"}`)
	if list, _ := p.page("POST", "issues/search", "issues", "name", map[string]string{"max_results": "2"}, token); slices.Contains(list, "worse") || slices.Contains(list, "n3") {
		t.Errorf("a new row shifts the page: %v", list)
	}
	p.refuses("POST", "issues/search", `{"filter_string":"status = 'pending'","page_token":"`+token+`"}`, 400, "another search")
	p.refuses("POST", "issues", `{"experiment_id":"EXP","name":"a\u0000b","description":"d"}`, http.StatusBadRequest, "")
	p.must("POST", "issues", `{"experiment_id":"EXP","name":"a\\u0000b","description":"d"}`) // no NUL, but how one is written
}

// page asks for one page and gives a field of what is on it.
func (p *platform) page(method, path, field, id string, fields map[string]string, token string) (list []string, next string) {
	p.t.Helper()
	query, body := url.Values{}, []string{}
	for k, v := range fields {
		query.Set(k, strings.ReplaceAll(v, "EXP", p.exp))
		body = append(body, fmt.Sprintf("%q:%q", k, v))
		if v == "true" {
			body[len(body)-1] = fmt.Sprintf("%q:true", k)
		}
	}
	if token != "" {
		query.Set("page_token", token)
		body = append(body, fmt.Sprintf(`"page_token":%q`, token))
	}
	var out map[string]any
	if method == http.MethodGet {
		out = p.must(method, path+"?"+query.Encode(), "")
	} else {
		out = p.must(method, path, "{"+strings.Join(body, ",")+"}")
	}
	rows, _ := out[field].([]any)
	for _, r := range rows {
		list = append(list, at(r, id).(string))
	}
	next, _ = out["next_page_token"].(string)
	return list, next
}
