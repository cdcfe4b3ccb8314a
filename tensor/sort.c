#include "tensor/sort.h"

static void merge(const double *from, int64_t low, int64_t middle, int64_t high, double *to)
{
    int64_t a = low, b = middle;
    for (int64_t i = low; i < high; i++)
        to[i] = a < middle && (b >= high || from[a] <= from[b]) ? from[a++] : from[b++];
}

/* Runs twice as long with each pass, to and fro. */
double *tarn__sort_numbers(double *values, double *room, int64_t n)
{
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t low = 0; low < n; low += 2 * run) {
            int64_t middle = low + run < n ? low + run : n, high = low + 2 * run < n ? low + 2 * run : n;
            merge(values, low, middle, high, room);
        }
        double *sorted = room;
        room = values;
        values = sorted;
    }
    return values;
}
