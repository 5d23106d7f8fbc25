"""Packs SPLIT/CLASS/IMAGE by Pillow: pack_pillow.py FOLDER SIZE PROCESSES OUT.h5; prints images, seconds and processor seconds.

What a careful user would write: draft decoding, the shorter side resized with the box filter (areas are averaged, as by
coppice), the middle cropped, a pool of processes, HDF5 in chunks as coppice writes them. The clock starts when the
processes are there and Pillow is loaded.
"""
import glob, multiprocessing, os, resource, sys, time
import h5py, numpy
from PIL import Image

size = int(sys.argv[2])


def fit(path):
    with Image.open(path) as image:
        image.draft('RGB', (size, size))
        image = image.convert('RGB')
    w, h = image.size
    least = min(w, h)
    # the box that becomes size x size, resized in one go: only what is kept is computed
    box = ((w - least) / 2, (h - least) / 2, (w + least) / 2, (h + least) / 2)
    return image.resize((size, size), Image.BOX, box=box).tobytes()


def warm(_):
    time.sleep(0.05)


def spent(who):
    use = resource.getrusage(who)
    return use.ru_utime + use.ru_stime


def main():
    folder, processes, out = sys.argv[1], int(sys.argv[3]), sys.argv[4]
    with multiprocessing.Pool(processes) as pool:
        pool.map(warm, range(4 * processes), 1)
        started, before = time.perf_counter(), spent(resource.RUSAGE_SELF)
        total = 0
        with h5py.File(out, 'w') as f:
            for split, name in ('train', 'train'), ('val', 'test'):
                paths = sorted(glob.glob(os.path.join(folder, split, '*', '*')))
                classes = {c: i for i, c in enumerate(sorted({os.path.dirname(p) for p in paths}))}
                rows = (1 << 20) // (3 * size * size)
                images = f.create_dataset(name + '/images', (len(paths), size, size, 3), 'u1',
                                          chunks=(min(rows, len(paths)), size, size, 3))
                f[name + '/labels'] = numpy.array([classes[os.path.dirname(p)] for p in paths], 'i4')
                chunk, at = [], 0
                for pixels in pool.imap(fit, paths, 16):
                    chunk.append(pixels)
                    if len(chunk) == rows or at + len(chunk) == len(paths):
                        images[at:at + len(chunk)] = numpy.frombuffer(b''.join(chunk), 'u1').reshape(-1, size, size, 3)
                        at += len(chunk)
                        chunk = []
                total += len(paths)
        seconds, own = time.perf_counter() - started, spent(resource.RUSAGE_SELF) - before
        pool.close()
        pool.join()
    print(total, seconds, own + spent(resource.RUSAGE_CHILDREN))


if __name__ == '__main__':
    main()
