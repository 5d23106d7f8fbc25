/* Which cells have a valid result; see catalog.h. */
#include "sweep/catalog.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "sweep/validate.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The memory, a text: "coppice-catalog 1 GRID", then "INDEX v SIZE CHANGED INODE" for each valid file and "INDEX r SIZE
 * CHANGED INODE REASON" for each rejected one, then "end HASH" of all bytes before.
 */
static const char heading[] = "coppice-catalog 1";

static char *memory_path(const struct cop_run *r)
{
	return cop_run_file(r, "state/catalog");
}

/* Verdicts hold for one experiment and one order of its grid. */
static uint64_t grid_hash(const struct cop_run *r)
{
	uint64_t h = cop_hash(COP_HASH_START, r->hash, strlen(r->hash));
	for (size_t i = 0; i < r->ncells; i++) {
		const struct cop_point *p = &r->cell[i];
		h = cop_hash(h, &p->index, sizeof(p->index));
		h = cop_hash(h, &p->replicate, sizeof(p->replicate));
		h = cop_hash(h, &p->round, sizeof(p->round));
		h = cop_hash(h, &p->quantile, sizeof(p->quantile));
		h = cop_hash(h, &p->reset_step, sizeof(p->reset_step));
		h = cop_hash(h, &p->criterion, sizeof(p->criterion));
		h = cop_hash(h, &p->retrain, sizeof(p->retrain));
		h = cop_hash(h, &p->child, sizeof(p->child));
	}
	return h;
}

/* "000042.h5" is 42; anything else, temporary files among them, is -1. */
static int64_t index_of(const char *name)
{
	char again[32];
	char *end;
	long long v = strtoll(name, &end, 10);
	snprintf(again, sizeof(again), "%06lld.h5", v);
	return v >= 0 && strcmp(again, name) == 0 ? v : -1;
}

static void list_files(struct cop_catalog *c)
{
	char *folder = cop_run_file(c->run, "cells");
	DIR *d = opendir(folder);
	free(folder);
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st;
		int64_t i = index_of(e->d_name);
		if (i < 0 || i >= (int64_t)c->run->ncells || fstatat(dirfd(d), e->d_name, &st, 0) < 0)
			continue;
		c->cell[i].verdict = COP_VERDICT_INVALID;
		c->cell[i].stamp = (struct cop_stamp){
			.size = st.st_size,
			.changed = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
			.inode = (int64_t)st.st_ino,
		};
	}
	closedir(d);
}

/* One line of the memory into *index and *e, whose reason points into the line; false where it is damaged. */
static bool parse_line(char *line, int64_t *index, struct cop_listed *e)
{
	char kind;
	int used = -1;
	if (sscanf(line, "%" SCNd64 " %c %" SCNd64 " %" SCNd64 " %" SCNd64 "%n", index, &kind, &e->stamp.size,
		   &e->stamp.changed, &e->stamp.inode, &used) != 5 ||
	    (kind != 'v' && kind != 'r'))
		return false;
	e->verdict = kind == 'v' ? COP_VERDICT_VALID : COP_VERDICT_REJECTED;
	e->reason = line + used + (line[used] == ' ');
	return true;
}

/* "end HASH" of what was added so far, as the last line. */
static void seal(struct cop_str *b)
{
	cop_str_addf(b, "end %016" PRIx64 "\n", cop_hash(COP_HASH_START, b->s, b->len));
}

static bool sealed(const char *text, size_t len)
{
	enum { SEAL = 21 }; /* bytes that seal() adds */
	if (len < SEAL)
		return false;
	struct cop_str again = {0};
	cop_str_addn(&again, text, len - SEAL);
	seal(&again);
	bool same = memcmp(again.s, text, len) == 0;
	cop_str_release(&again);
	return same;
}

/* The text of the memory, or NULL where there is none, or a damaged or foreign one. */
static char *read_memory(const struct cop_run *r)
{
	struct cop_err err = {0};
	char *path = memory_path(r), *text = NULL, expected[64];
	size_t len = 0;
	int rc = cop_read_file(path, &text, &len, &err);
	free(path);
	if (rc)
		return NULL;
	snprintf(expected, sizeof(expected), "%s %016" PRIx64 "\n", heading, grid_hash(r));
	if (strncmp(text, expected, strlen(expected)) != 0 || !sealed(text, len)) {
		cop_debug("the catalog of '%s' is made anew", r->path);
		free(text);
		return NULL;
	}
	return text;
}

/* Calls `take` for each line of the memory. */
static void recall(struct cop_catalog *c, void (*take)(struct cop_catalog *, int64_t, const struct cop_listed *))
{
	char *text = read_memory(c->run), *at = text ? strchr(text, '\n') + 1 : NULL, *line;
	while (at && (line = strsep(&at, "\n"))) {
		int64_t i;
		struct cop_listed e;
		if (*line && parse_line(line, &i, &e) && i >= 0 && i < (int64_t)c->run->ncells)
			take(c, i, &e);
	}
	free(text);
}

static void take_verdict(struct cop_catalog *c, int64_t i, const struct cop_listed *e)
{
	struct cop_listed *now = &c->cell[i];
	if (now->verdict == COP_VERDICT_MISSING || !cop_stamp_same(&now->stamp, &e->stamp)) {
		c->changed = true;
		return;
	}
	now->verdict = e->verdict;
	now->reason = e->verdict == COP_VERDICT_REJECTED ? cop_xstrdup(e->reason) : NULL;
}

/* What somebody else rejected in the meantime stays rejected. */
static void take_rejection(struct cop_catalog *c, int64_t i, const struct cop_listed *e)
{
	struct cop_listed *now = &c->cell[i];
	if (e->verdict == COP_VERDICT_REJECTED && now->verdict == COP_VERDICT_VALID && !now->read &&
	    cop_stamp_same(&now->stamp, &e->stamp)) {
		now->verdict = COP_VERDICT_REJECTED;
		now->reason = cop_xstrdup(e->reason);
	}
}

/* Opens what is neither missing nor remembered. */
static void validate_rest(struct cop_catalog *c)
{
	size_t n = 0;
	int64_t *index = cop_xcalloc(c->run->ncells, sizeof(*index));
	for (size_t i = 0; i < c->run->ncells; i++)
		if (c->cell[i].verdict == COP_VERDICT_INVALID)
			index[n++] = (int64_t)i;
	char **why = cop_validate(c->run, index, n);
	for (size_t k = 0; k < n; k++) {
		struct cop_listed *e = &c->cell[index[k]];
		e->reason = why[k];
		e->verdict = why[k] ? COP_VERDICT_INVALID : COP_VERDICT_VALID;
		c->changed |= !why[k];
	}
	c->opened = n;
	free(why);
	free(index);
}

void cop_catalog_open(struct cop_catalog *c, const struct cop_run *run)
{
	*c = (struct cop_catalog){.run = run};
	c->cell = cop_xcalloc(run->ncells, sizeof(*c->cell));
	list_files(c);
	recall(c, take_verdict);
	validate_rest(c);
}

static void remember(struct cop_catalog *c)
{
	struct cop_str b = {0};
	struct cop_err err = {0};
	char *path = memory_path(c->run);
	recall(c, take_rejection);
	cop_str_addf(&b, "%s %016" PRIx64 "\n", heading, grid_hash(c->run));
	for (size_t i = 0; i < c->run->ncells; i++) {
		const struct cop_listed *e = &c->cell[i];
		bool rejected = e->verdict == COP_VERDICT_REJECTED;
		if (rejected || e->verdict == COP_VERDICT_VALID)
			cop_str_addf(&b, "%zu %c %" PRId64 " %" PRId64 " %" PRId64 "%s%s\n", i, rejected ? 'r' : 'v',
				     e->stamp.size, e->stamp.changed, e->stamp.inode, rejected ? " " : "",
				     rejected ? e->reason : "");
	}
	seal(&b);
	if (cop_write_file(path, b.s, b.len, &err))
		cop_debug("the catalog is not remembered: %s", err.msg);
	cop_str_release(&b);
	free(path);
}

void cop_catalog_close(struct cop_catalog *c)
{
	if (c->changed)
		remember(c);
	for (size_t i = 0; i < c->run->ncells; i++)
		free(c->cell[i].reason);
	free(c->cell);
	*c = (struct cop_catalog){0};
}

bool cop_catalog_valid(const struct cop_catalog *c, int64_t index)
{
	return c->cell[index].verdict == COP_VERDICT_VALID;
}

bool cop_catalog_there(const struct cop_catalog *c, int64_t index)
{
	return c->cell[index].verdict != COP_VERDICT_MISSING;
}

const char *cop_catalog_reason(const struct cop_catalog *c, int64_t index)
{
	return c->cell[index].reason ? c->cell[index].reason : "";
}

void cop_catalog_reject(struct cop_catalog *c, int64_t index, const char *reason)
{
	struct cop_listed *e = &c->cell[index];
	char *line = cop_xstrdup(reason);
	for (char *p = line; (p = strpbrk(p, "\r\n"));)
		*p = ' ';
	free(e->reason);
	e->reason = line;
	e->verdict = COP_VERDICT_REJECTED;
	c->changed = true;
}

void cop_catalog_accept(struct cop_catalog *c, int64_t index)
{
	struct cop_listed *e = &c->cell[index];
	e->read = true;
	if (e->verdict == COP_VERDICT_VALID)
		return;
	free(e->reason);
	e->reason = NULL;
	e->verdict = COP_VERDICT_VALID;
	c->changed = true;
}
