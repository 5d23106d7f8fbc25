/* Loadable modules; see module.h. */
#include "base/module.h"

#include "base/file.h"
#include "base/mem.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

/* The first of the places that holds the module; the caller frees. NULL: none does. */
static char *find_module(const char *name)
{
	char *beside = cop_program_folder();
	char *installed = cop_xasprintf("%s/../lib/coppice", beside);
	const char *places[] = {getenv("COPPICE_MODULES"), beside, installed};
	char *found = NULL;
	for (size_t i = 0; i < 3 && !found; i++) {
		if (!places[i] || !*places[i])
			continue;
		found = cop_xasprintf("%s/coppice-%s.so", places[i], name);
		if (!cop_exists(found)) {
			free(found);
			found = NULL;
		}
	}
	free(beside);
	free(installed);
	return found;
}

int cop_module_open(const char *name, const char *symbol, unsigned version, const void **table, struct cop_err *err)
{
	char *path = find_module(name);
	if (!path)
		return cop_fail(err, COP_EMISSING,
				"module 'coppice-%s.so' is not installed beside the program, in ../lib/coppice or in "
				"$COPPICE_MODULES",
				name);
	int rc = 0;
	void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const struct cop_module_header *head = module ? dlsym(module, symbol) : NULL;
	if (!module || !head)
		rc = cop_fail(err, COP_EMISSING, "cannot open module '%s': %s", path, dlerror());
	else if (head->version != version)
		rc = cop_fail(err, COP_EMISSING,
			      "module '%s' has interface %u, this program wants %u: build both from one source", path,
			      head->version, version);
	else
		*table = head;
	free(path);
	return rc;
}

bool cop_library_here(const char *name)
{
	return dlopen(name, RTLD_LAZY | RTLD_LOCAL) != NULL;
}
