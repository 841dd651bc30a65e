# What scripts/submit --cluster=kubernetes runs. Not built yet: no Docker was at hand.
#
#   docker build -t NAME .                                              CPUs
#   docker build -t NAME --build-arg LOCK=requirements/gpu.txt .        GPUs; CUDA comes with the lock
FROM python:3.12-slim-bookworm

ARG LOCK=requirements/cpu.txt
# trainer/submit/kubernetes.py names this folder, the user and /runs too.
WORKDIR /opt/flowrate
COPY requirements requirements
RUN python -m pip install --no-cache-dir --require-hashes --requirement requirements/pip.txt \
    && python -m pip install --no-cache-dir --require-hashes --requirement "$LOCK"
COPY . .
RUN python -m compileall -q flowrate input_pipelines models trainer benchmarks \
    && useradd --uid 1000 --create-home flowrate \
    && install -d -o flowrate -g flowrate /runs
USER 1000:1000
ENV PYTHONPATH=/opt/flowrate PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
CMD ["python", "-m", "trainer.main", "--help"]
