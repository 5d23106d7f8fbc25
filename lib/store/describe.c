/* Datasets in words; see describe.h. */
#include "store/describe.h"

#include "store/h5_priv.h"

#include <stdio.h>

static void describe_type(hid_t type, char *text)
{
	size_t bits = 8 * H5Tget_size(type);
	int members = 0;
	switch (H5Tget_class(type)) {
	case H5T_INTEGER:
		snprintf(text, COP_DESCRIPTION, "%s%zu", H5Tget_sign(type) == H5T_SGN_NONE ? "uint" : "int", bits);
		break;
	case H5T_FLOAT:
		snprintf(text, COP_DESCRIPTION, "float%zu", bits);
		break;
	case H5T_STRING:
		snprintf(text, COP_DESCRIPTION, "string");
		break;
	case H5T_COMPOUND:
		members = H5Tget_nmembers(type);
		snprintf(text, COP_DESCRIPTION, "compound of %d", members);
		break;
	case H5T_ENUM:
		snprintf(text, COP_DESCRIPTION, "enum of %d", H5Tget_nmembers(type));
		break;
	case H5T_VLEN:
		snprintf(text, COP_DESCRIPTION, "lists");
		break;
	case H5T_REFERENCE:
		snprintf(text, COP_DESCRIPTION, "reference");
		break;
	default:
		snprintf(text, COP_DESCRIPTION, "%zu bytes", bits / 8);
	}
}

static void describe_space(hid_t space, char *text)
{
	hsize_t dim[H5S_MAX_RANK];
	int rank = H5Sget_simple_extent_dims(space, dim, NULL);
	size_t n = 0;
	if (H5Sget_simple_extent_type(space) != H5S_SIMPLE || rank < 1) {
		snprintf(text, COP_DESCRIPTION, H5Sget_simple_extent_type(space) == H5S_NULL ? "null" : "scalar");
		return;
	}
	for (int i = 0; i < rank && n < COP_DESCRIPTION; i++)
		n += (size_t)snprintf(text + n, COP_DESCRIPTION - n, "%s%llu", i ? "x" : "",
				      (unsigned long long)dim[i]);
}

int cop_h5_describe(struct cop_h5 *f, const char *path, char *type, char *shape, struct cop_err *err)
{
	hid_t set = H5Dopen2(cop_h5_id(f), path, H5P_DEFAULT);
	if (set < 0)
		return cop_h5_fail(err, COP_EINPUT, f, "cannot open", path);
	hid_t t = H5Dget_type(set), space = H5Dget_space(set);
	int rc = 0;
	if (t < 0 || space < 0) {
		rc = cop_h5_fail(err, COP_EINPUT, f, "cannot read the type of", path);
	} else {
		describe_type(t, type);
		describe_space(space, shape);
	}
	if (t >= 0)
		H5Tclose(t);
	if (space >= 0)
		H5Sclose(space);
	H5Dclose(set);
	return rc;
}
