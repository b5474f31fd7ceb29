// swift-tools-version:5.9
import PackageDescription

// The ExecuTorch release that wrote the bundle's .pte file: see "tools" in its manifest.json.
let executorch = "swiftpm-1.4.1"

let package = Package(
    name: "Edgeskel",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [
        .library(name: "Edgeskel", targets: ["Edgeskel"]),
        .library(name: "EdgeskelExecuTorch", targets: ["EdgeskelExecuTorch"]),
    ],
    dependencies: [.package(url: "https://github.com/pytorch/executorch.git", branch: executorch)],
    targets: [
        .target(name: "Edgeskel"),
        .target(
            name: "EdgeskelExecuTorch",
            dependencies: [
                "Edgeskel",
                .product(name: "executorch", package: "executorch"),
                .product(name: "backend_xnnpack", package: "executorch"),
                .product(name: "kernels_optimized", package: "executorch"),
            ]
        ),
        .testTarget(name: "EdgeskelTests", dependencies: ["Edgeskel"], resources: [.copy("golden.json")]),
    ]
)
