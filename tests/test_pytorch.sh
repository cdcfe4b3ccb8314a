#!/bin/sh
# tarn against PyTorch, where it is installed. Reads BUILD, where test_torch and its like are built.
exec tests/torch_reference.py --programs "${BUILD:-build}/tests"
