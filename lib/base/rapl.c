/* RAPL; see rapl.h. */
#include "base/rapl.h"

#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first line of a small file, which may be there and yet not be read. */
static bool read_line(const char *path, char *line, int size)
{
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	bool good = fgets(line, size, f) != NULL;
	fclose(f);
	line[good ? strcspn(line, "\n") : 0] = '\0';
	return good;
}

static bool read_number(const char *path, uint64_t *v)
{
	char line[64];
	int64_t n;
	if (!read_line(path, line, sizeof(line)) || !cop_parse_i64(line, &n) || n < 0)
		return false;
	*v = (uint64_t)n;
	return true;
}

/* "intel-rapl:0", of AMD's processors too; "intel-rapl:0:1" is a part of it. */
static bool is_zone(const char *folder)
{
	static const char head[] = "intel-rapl:";
	const char *number = folder + sizeof(head) - 1;
	return strncmp(folder, head, sizeof(head) - 1) == 0 && *number && number[strspn(number, "0123456789")] == '\0';
}

static bool is_package(const char *zone)
{
	char name[64], *path = cop_xasprintf("%s/name", zone);
	bool is = read_line(path, name, sizeof(name)) && strncmp(name, "package-", 8) == 0;
	free(path);
	return is;
}

static void add_package(struct cop_rapl *r, const char *zone)
{
	struct cop_rapl_package p = {.path = cop_xasprintf("%s/energy_uj", zone)};
	char *range = cop_xasprintf("%s/max_energy_range_uj", zone);
	if (read_number(p.path, &p.last) && read_number(range, &p.range)) {
		r->package[r->n++] = p;
	} else {
		r->closed++;
		free(p.path);
	}
	free(range);
}

void cop_rapl_open(struct cop_rapl *r)
{
	const char *root = getenv("COPPICE_POWERCAP");
	if (!root || !*root)
		root = "/sys/class/powercap";
	*r = (struct cop_rapl){0};
	DIR *d = opendir(root);
	const struct dirent *entry;
	while (d && (entry = readdir(d)) && r->n < COP_RAPL_MAX) {
		char *zone = cop_xasprintf("%s/%s", root, entry->d_name);
		if (is_zone(entry->d_name) && is_package(zone))
			add_package(r, zone);
		free(zone);
	}
	if (d)
		closedir(d);
	if (r->closed) {
		int closed = r->closed + r->n;
		cop_rapl_release(r);
		r->closed = closed;
	}
}

void cop_rapl_release(struct cop_rapl *r)
{
	for (int i = 0; i < r->n; i++)
		free(r->package[i].path);
	*r = (struct cop_rapl){0};
}

double cop_rapl_read(struct cop_rapl *r)
{
	for (int i = 0; i < r->n; i++) {
		struct cop_rapl_package *p = &r->package[i];
		uint64_t now;
		if (!read_number(p->path, &now)) {
			r->joules = NAN;
			continue;
		}
		/* a counter that is behind where it was has begun again */
		r->joules += 1e-6 * (double)(now >= p->last ? now - p->last : now + p->range - p->last);
		p->last = now;
	}
	return r->n ? r->joules : NAN;
}
