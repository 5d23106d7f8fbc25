/* Layers that are gone: which are found, where they are counted, and what is said of them. */
#include "report/collapse.h"
#include "synthetic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct synthetic usual = {.quantiles = 3, .resets = 2, .replicates = 2, .name = "usual"};

/* Takes all weights of a layer from the cells of a quantile; returns how many there are. */
static size_t take(struct cop_results *r, double quantile, size_t layer)
{
	size_t n = 0;
	for (size_t i = 0; i < r->ncells; i++)
		if (r->cell[i].row.quantile == quantile) {
			assert_true(layer < r->cell[i].nlayers);
			r->cell[i].layer[layer].nnz = 0;
			n++;
		}
	return n;
}

static char *printed(const struct cop_collapse *c)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	cop_collapse_print(c, f);
	fclose(f);
	return text;
}

static void test_found(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_grid g;
	struct cop_collapse c;
	struct cop_str html = {0};
	synthetic_results(&r, &usual);
	cop_grid_init(&g, &r);
	cop_collapse_init(&c, &r, &g);
	assert_int_equal(c.n, 0);
	char *text = printed(&c);
	assert_string_equal(text, "");
	free(text);
	cop_collapse_html(&html, &c);
	assert_int_equal(html.len, 0);
	cop_collapse_release(&c);

	double last = g.quantile[g.nq - 1], first = g.quantile[0];
	size_t all = take(&r, last, 1);
	assert_int_equal(all, 4);
	take(&r, last, 0);
	for (size_t i = 0; i < r.ncells; i++) /* one cell of another quantile, and a child, which does not count */
		if (r.cell[i].row.quantile == first) {
			r.cell[i].layer[1].nnz = 0;
			r.cell[i + 1].row.child = 1;
			r.cell[i + 1].layer[1].nnz = 0;
			break;
		}
	cop_collapse_init(&c, &r, &g);
	assert_int_equal(c.n, 3);
	assert_true(c.v[0].quantile == 0 && c.v[0].order == 1 && c.v[0].cells == 1 && c.v[0].of == all - 1);
	assert_true(c.v[1].quantile == g.nq - 1 && c.v[1].order == 0 && c.v[1].cells == all && c.v[1].of == all);
	assert_true(c.v[2].quantile == g.nq - 1 && c.v[2].order == 1 && c.v[2].cells == all);
	assert_null(strchr(c.v[0].layer, '/'));
	text = printed(&c);
	assert_non_null(strstr(text, c.v[1].layer));
	free(text);
	cop_collapse_html(&html, &c);
	size_t rows = 0;
	for (const char *p = html.s; (p = strstr(p, "<tr class=\"collapsed\">")); p++)
		rows++;
	assert_int_equal(rows, 3);
	cop_str_release(&html);
	cop_collapse_release(&c);
	cop_grid_release(&g);
	cop_results_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_found)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
