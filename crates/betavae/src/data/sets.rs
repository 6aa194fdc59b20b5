//! The field's official data sets: what they are, where their files come from, and where they are stored.
//!
//! Checksums are those that the authors, or the loaders of torchvision and disent, publish.

use std::path::{Path, PathBuf};

use super::cache;
use crate::error::{Error, Result};

/// A data set that its authors offer for download.
#[derive(Clone, Copy, Debug)]
pub struct OfficialSet {
    /// The value of `data.name`.
    pub name: &'static str,
    /// What people call it.
    pub title: &'static str,
    /// Number of images, all parts together.
    pub images: usize,
    /// [H, W, C] as opened without further settings.
    pub shape: [usize; 3],
    /// Names and sizes of the factors.
    pub factors: &'static [(&'static str, usize)],
    /// What has to be there.
    pub files: &'static [RemoteFile],
    /// Where people find it in a browser.
    pub home: &'static str,
    /// Under which terms.
    pub licence: &'static str,
    /// What to cite.
    pub citation: &'static str,
}

/// One file of an [`OfficialSet`].
#[derive(Clone, Copy, Debug)]
pub struct RemoteFile {
    /// Its name on disk.
    pub name: &'static str,
    /// Its address; none if it is only offered to people in a browser.
    pub url: Option<&'static str>,
    /// Its MD5 checksum in hexadecimal, if one is published.
    pub md5: Option<&'static str>,
}

const fn file(name: &'static str, url: &'static str, md5: &'static str) -> RemoteFile {
    RemoteFile { name, url: Some(url), md5: Some(md5) }
}

const MPI3D: &[(&str, usize)] = &[
    ("object_color", 6),
    ("object_shape", 6),
    ("object_size", 2),
    ("camera_height", 3),
    ("background_color", 3),
    ("horizontal_axis", 40),
    ("vertical_axis", 40),
];

const MPI3D_PAPER: &str = "Gondal et al., On the Transfer of Inductive Bias from Simulation to \
     the Real World: a New Disentanglement Dataset, NeurIPS 2019";

const fn mpi3d(
    name: &'static str,
    title: &'static str,
    files: &'static [RemoteFile],
) -> OfficialSet {
    OfficialSet {
        name,
        title,
        images: 1_036_800,
        shape: [64, 64, 3],
        factors: MPI3D,
        files,
        home: "https://github.com/rr-learning/disentanglement_dataset",
        licence: "CC BY 4.0",
        citation: MPI3D_PAPER,
    }
}

const fn mnist(
    name: &'static str,
    title: &'static str,
    files: &'static [RemoteFile],
) -> OfficialSet {
    OfficialSet {
        name,
        title,
        images: 70_000,
        shape: [28, 28, 1],
        factors: &[("class", 10)],
        files,
        home: "",
        licence: "",
        citation: "",
    }
}

/// All of them, in the order in which they are shown.
pub const SETS: [OfficialSet; 12] = [
    OfficialSet {
        name: "dsprites-official",
        title: "dSprites, the published file",
        images: 737_280,
        shape: [64, 64, 1],
        factors: &[
            ("color", 1),
            ("shape", 3),
            ("scale", 6),
            ("orientation", 40),
            ("posX", 32),
            ("posY", 32),
        ],
        files: &[file(
            "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.hdf5",
            "https://github.com/google-deepmind/dsprites-dataset/raw/master/dsprites_ndarray_co1sh3sc6or40x32y32_64x64.hdf5",
            "b331c4447a651c44bf5e8ae09022e230",
        )],
        home: "https://github.com/google-deepmind/dsprites-dataset",
        licence: "Apache-2.0",
        citation: "Matthey et al., dSprites: Disentanglement testing Sprites dataset, 2017",
    },
    OfficialSet {
        name: "shapes3d",
        title: "3D Shapes",
        images: 480_000,
        shape: [64, 64, 3],
        factors: &[
            ("floor_hue", 10),
            ("wall_hue", 10),
            ("object_hue", 10),
            ("scale", 8),
            ("shape", 4),
            ("orientation", 15),
        ],
        files: &[file(
            "3dshapes.h5",
            "https://storage.googleapis.com/3d-shapes/3dshapes.h5",
            "099a2078d58cec4daad0702c55d06868",
        )],
        home: "https://github.com/google-deepmind/3d-shapes",
        licence: "Apache-2.0",
        citation: "Burgess & Kim, 3D Shapes Dataset, 2018",
    },
    mpi3d(
        "mpi3d-toy",
        "MPI3D, simple renderings",
        &[file(
            "mpi3d_toy.npz",
            "https://storage.googleapis.com/disentanglement_dataset/Final_Dataset/mpi3d_toy.npz",
            "55889cb7c7dfc655d6e0277beee88868",
        )],
    ),
    mpi3d(
        "mpi3d-realistic",
        "MPI3D, realistic renderings",
        &[file(
            "mpi3d_realistic.npz",
            "https://storage.googleapis.com/disentanglement_dataset/Final_Dataset/mpi3d_realistic.npz",
            "59a6225b88b635365f70c91b3e52f70f",
        )],
    ),
    mpi3d(
        "mpi3d-real",
        "MPI3D, photographs",
        &[file(
            "mpi3d_real.npz",
            "https://storage.googleapis.com/disentanglement_dataset/Final_Dataset/mpi3d_real.npz",
            "0f33f609918fb5c97996692f91129802",
        )],
    ),
    OfficialSet {
        images: 460_800,
        factors: &[
            ("object_color", 4),
            ("object_shape", 4),
            ("object_size", 2),
            ("camera_height", 3),
            ("background_color", 3),
            ("horizontal_axis", 40),
            ("vertical_axis", 40),
        ],
        ..mpi3d(
            "mpi3d-real-complex",
            "MPI3D, photographs of everyday objects",
            &[RemoteFile {
                name: "real3d_complicated_shapes_ordered.npz",
                url: Some(
                    "https://storage.googleapis.com/disentanglement_dataset/Final_Dataset/real3d_complicated_shapes_ordered.npz",
                ),
                md5: None,
            }],
        )
    },
    OfficialSet {
        name: "cars3d",
        title: "Cars3D",
        images: 17_568,
        shape: [64, 64, 3],
        factors: &[("object", 183), ("azimuth", 24), ("elevation", 4)],
        files: &[file(
            "nips2015-analogy-data.tar.gz",
            "http://www.scottreed.info/files/nips2015-analogy-data.tar.gz",
            "4e866a7919c1beedf53964e6f7a23686",
        )],
        home: "http://www.scottreed.info",
        licence: "not stated",
        citation: "Reed et al., Deep Visual Analogy-Making, NIPS 2015; renderings of the models of \
                   Fidler et al., NIPS 2012",
    },
    OfficialSet {
        name: "smallnorb",
        title: "SmallNORB",
        images: 48_600,
        shape: [64, 64, 1],
        factors: &[("category", 5), ("elevation", 9), ("azimuth", 18), ("lighting", 6)],
        files: &[
            file(
                "smallnorb-5x46789x9x18x6x2x96x96-training-dat.mat.gz",
                "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/smallnorb-5x46789x9x18x6x2x96x96-training-dat.mat.gz",
                "66054832f9accfe74a0f4c36a75bc0a2",
            ),
            file(
                "smallnorb-5x46789x9x18x6x2x96x96-training-cat.mat.gz",
                "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/smallnorb-5x46789x9x18x6x2x96x96-training-cat.mat.gz",
                "23c8b86101fbf0904a000b43d3ed2fd9",
            ),
            file(
                "smallnorb-5x46789x9x18x6x2x96x96-training-info.mat.gz",
                "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/smallnorb-5x46789x9x18x6x2x96x96-training-info.mat.gz",
                "51dee1210a742582ff607dfd94e332e3",
            ),
            file(
                "smallnorb-5x01235x9x18x6x2x96x96-testing-dat.mat.gz",
                "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/smallnorb-5x01235x9x18x6x2x96x96-testing-dat.mat.gz",
                "e4ad715691ed5a3a5f138751a4ceb071",
            ),
            file(
                "smallnorb-5x01235x9x18x6x2x96x96-testing-cat.mat.gz",
                "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/smallnorb-5x01235x9x18x6x2x96x96-testing-cat.mat.gz",
                "5aa791cd7e6016cf957ce9bdb93b8603",
            ),
            file(
                "smallnorb-5x01235x9x18x6x2x96x96-testing-info.mat.gz",
                "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/smallnorb-5x01235x9x18x6x2x96x96-testing-info.mat.gz",
                "a9454f3864d7fd4bb3ea7fc3eb84924e",
            ),
        ],
        home: "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/",
        licence: "for research only",
        citation: "LeCun, Huang & Bottou, Learning Methods for Generic Object Recognition with \
                   Invariance to Pose and Lighting, CVPR 2004",
    },
    OfficialSet {
        name: "chairs3d",
        title: "3D Chairs",
        images: 86_366,
        shape: [64, 64, 3],
        factors: &[("model", 1393), ("elevation", 2), ("azimuth", 31)],
        files: &[RemoteFile {
            name: "rendered_chairs.tar",
            url: Some(
                "https://www.di.ens.fr/willow/research/seeing3Dchairs/data/rendered_chairs.tar",
            ),
            md5: None,
        }],
        home: "https://www.di.ens.fr/willow/research/seeing3Dchairs/",
        licence: "not stated",
        citation: "Aubry et al., Seeing 3D Chairs: Exemplar Part-based 2D-3D Alignment using a \
                   Large Dataset of CAD Models, CVPR 2014",
    },
    OfficialSet {
        name: "celeba",
        title: "CelebA, aligned and cropped",
        images: 202_599,
        shape: [64, 64, 3],
        factors: &[("40 attributes", 2)],
        files: &[
            RemoteFile {
                name: "img_align_celeba.zip",
                url: None,
                md5: Some("00d2c5bc6d35e252742224ab0c1e8fcb"),
            },
            RemoteFile {
                name: "list_attr_celeba.txt",
                url: None,
                md5: Some("75e246fa4810816ffd6ee81facbd244c"),
            },
            RemoteFile {
                name: "list_eval_partition.txt",
                url: None,
                md5: Some("d32c9cbf5e040fd4025c592c306e6668"),
            },
        ],
        home: "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        licence: "for non-commercial research only",
        citation: "Liu et al., Deep Learning Face Attributes in the Wild, ICCV 2015",
    },
    OfficialSet {
        home: "https://github.com/cvdfoundation/mnist",
        licence: "CC BY-SA 3.0",
        citation: "LeCun et al., Gradient-based Learning Applied to Document Recognition, 1998",
        ..mnist(
            "mnist",
            "MNIST",
            &[
                file(
                    "train-images-idx3-ubyte.gz",
                    "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
                    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                ),
                file(
                    "train-labels-idx1-ubyte.gz",
                    "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz",
                    "d53e105ee54ea40749a09fcbcd1e9432",
                ),
                file(
                    "t10k-images-idx3-ubyte.gz",
                    "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz",
                    "9fb629c4189551a2d022fa330f9573f3",
                ),
                file(
                    "t10k-labels-idx1-ubyte.gz",
                    "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz",
                    "ec29112dd5afa0611ce80d1b7f02629c",
                ),
            ],
        )
    },
    OfficialSet {
        home: "https://github.com/zalandoresearch/fashion-mnist",
        licence: "MIT",
        citation: "Xiao, Rasul & Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking \
                   Machine Learning Algorithms, 2017",
        ..mnist(
            "fashion-mnist",
            "Fashion-MNIST",
            &[
                file(
                    "train-images-idx3-ubyte.gz",
                    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
                    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                ),
                file(
                    "train-labels-idx1-ubyte.gz",
                    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz",
                    "25c81989df183df01b3e8a0aad5dffbe",
                ),
                file(
                    "t10k-images-idx3-ubyte.gz",
                    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz",
                    "bef4ecab320f06d8554ea6380940ec79",
                ),
                file(
                    "t10k-labels-idx1-ubyte.gz",
                    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz",
                    "bb300cfdad3c16e7a12a480ee83cd310",
                ),
            ],
        )
    },
];

impl OfficialSet {
    /// The set called `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        SETS.iter().find(|set| set.name == name)
    }

    /// The folder its files are fetched to: `BETAVAE_DATA`, else a folder of the user's caches, and in it the
    /// set's name.
    ///
    /// # Errors
    /// If no folder for data is known.
    pub fn folder(&self) -> Result<PathBuf> {
        Ok(cache::folder()?.join(self.name))
    }

    /// Whether all its files are in `folder`.
    pub fn is_in(&self, folder: &Path) -> bool {
        self.files.iter().all(|file| folder.join(file.name).is_file())
    }

    /// What to open: its only file, or the folder of its files.
    ///
    /// # Errors
    /// If it was not fetched, with the way to get it.
    pub(super) fn path(&self) -> Result<PathBuf> {
        let folder = self.folder()?;
        if !self.is_in(&folder) {
            let reason = format!("the files of {} are not there", self.title);
            return Err(Error::file_hint(&folder, reason, self.how_to_get(&folder)));
        }
        match self.files {
            [file] => Ok(folder.join(file.name)),
            _ => Ok(folder),
        }
    }

    /// How to get its files into `folder`.
    pub fn how_to_get(&self, folder: &Path) -> String {
        let files: Vec<&str> = self.files.iter().map(|file| file.name).collect();
        let by_hand =
            format!("download {} from {} to {}", files.join(", "), self.home, folder.display());
        match self.files.iter().all(|file| file.url.is_some()) {
            true => format!("run `betavae data fetch {}`, or {by_hand}", self.name),
            false => format!("it is only offered in a browser: {by_hand}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::official::known_grid;
    use super::*;

    #[test]
    fn the_table_agrees_with_itself_and_with_the_readers() {
        let names: HashSet<&str> = SETS.iter().map(|set| set.name).collect();
        assert_eq!(names.len(), SETS.len());
        for set in &SETS {
            assert!(!names.contains(&super::super::RENDERED_SETS[0].0), "{}", set.name);
            for text in [set.title, set.home, set.licence, set.citation] {
                assert!(!text.is_empty(), "{}", set.name);
            }
            for file in set.files {
                assert!(file.url.is_none_or(|url| url.ends_with(file.name)), "{}", file.name);
                let hex = |md5: &str| md5.len() == 32 && md5.bytes().all(|x| x.is_ascii_hexdigit());
                assert!(file.md5.is_none_or(hex), "{}", file.name);
            }
            let grid: usize = set.factors.iter().map(|(_, size)| size).product();
            let in_grid = !["smallnorb", "celeba", "mnist", "fashion-mnist"].contains(&set.name);
            assert!(!in_grid || grid == set.images, "{}", set.name);
            if set.name.starts_with("mpi3d") {
                let grid = known_grid(set.files[0].name, set.images, set.shape.into()).unwrap();
                let factors = grid.factors.iter().map(|f| (f.name.as_str(), f.values.len()));
                assert_eq!(factors.collect::<Vec<_>>(), set.factors);
            }
        }
    }
}
