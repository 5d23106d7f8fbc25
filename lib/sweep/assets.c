/* The carried files; see assets.h. The assembler takes them in as they are, so they stay readable in jobs/. */
#include "sweep/assets.h"

#include <stddef.h>
#include <string.h>

#define CARRY(symbol, path)                           \
	__asm__(".section .rodata\n"                  \
		".global " #symbol "\n" #symbol ":\n" \
		".incbin \"" path "\"\n"              \
		".byte 0\n"                           \
		".previous\n");                       \
	extern const char symbol[]

CARRY(cop_asset_dense, "jobs/dense.sbatch");
CARRY(cop_asset_cells, "jobs/cells.sbatch");
CARRY(cop_asset_collect, "jobs/collect.sbatch");
CARRY(cop_asset_next, "jobs/next.sbatch");

const struct cop_asset *cop_asset_find(const char *name)
{
	static const struct cop_asset assets[] = {
		{"dense.sbatch", cop_asset_dense},
		{"cells.sbatch", cop_asset_cells},
		{"collect.sbatch", cop_asset_collect},
		{"next.sbatch", cop_asset_next},
	};
	for (size_t i = 0; i < sizeof(assets) / sizeof(assets[0]); i++)
		if (strcmp(assets[i].name, name) == 0)
			return &assets[i];
	return NULL;
}
