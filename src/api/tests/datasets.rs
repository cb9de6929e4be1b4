use axum::body::Body;
use axum::http::{Request, header};
use uuid::Uuid;

use super::{Api, pictures};
use crate::dataset::testing::{picture, zip};
use crate::store::NewDataset;

#[tokio::test]
async fn an_upload_becomes_a_ready_dataset() {
    let api = Api::new().await;
    let answer = api.post("/v1/datasets?name=flowers", "application/octet-stream", pictures()).await;
    assert_eq!(answer.status, 202);
    let uploaded = answer.json();
    assert_eq!((&uploaded["state"], &uploaded["name"]), (&"ingesting".into(), &"flowers".into()));
    let location = answer.headers[header::LOCATION].to_str().unwrap();
    assert_eq!(location, format!("/v1/datasets/{}", uploaded["id"].as_str().unwrap()));

    let dataset = api.settled("flowers").await;
    assert_eq!(dataset, api.get(location).await.json(), "by id or by name");
    assert_eq!((&dataset["state"], &dataset["images"], &dataset["rejected_total"]), (&"ready".into(), &4.into(), &1.into()));
    let classes = serde_json::json!([{"name": "daisy", "images": 2}, {"name": "tulip", "images": 2}]);
    assert_eq!(dataset["classes"], classes);
    assert_eq!(dataset["rejected"][0]["path"], "flowers/tulip/notes.txt");
    assert_eq!(dataset["bytes"], pictures().len());
    assert_eq!(dataset["content_sha256"].as_str().unwrap().len(), 64);
    assert!(dataset["created_at"].as_str().unwrap().ends_with('Z'));
    assert!(dataset.get("error").is_none());
    assert!(api.uploads().is_empty(), "the archive goes once it has been read");
    let listed = &api.get("/v1/datasets").await.json()["items"][0];
    assert_eq!((&listed["id"], &listed["classes"]), (&dataset["id"], &classes));
}

#[tokio::test]
async fn pictures_come_back_as_they_were_sent() {
    let api = Api::new().await;
    let dataset = api.dataset("flowers").await;
    let id = dataset["id"].as_str().unwrap();
    let page = api.get("/v1/datasets/flowers/images?limit=3").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 3);
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = api.get(&format!("/v1/datasets/flowers/images?limit=3&cursor={cursor}")).await.json();
    assert_eq!((&rest["items"][0]["image"], rest.get("next_cursor")), (&3.into(), None));
    let tulips = api.get("/v1/datasets/flowers/images?label=tulip").await.json();
    assert_eq!(tulips["items"].as_array().unwrap().len(), 2);

    let answer = api.get(&format!("/v1/datasets/{id}/images/2")).await;
    assert_eq!(answer.body, picture(3));
    assert_eq!(answer.headers[header::CONTENT_TYPE], "image/png");
    assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert!(answer.headers[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    let request = Request::get(format!("/v1/datasets/{id}/images/2"));
    let request = request.header(header::IF_NONE_MATCH, &answer.headers[header::ETAG]).body(Body::empty()).unwrap();
    assert_eq!(api.send(request).await.status, 304);
    let by_name = api.get("/v1/datasets/flowers/images/2").await;
    assert_eq!(by_name.headers[header::CACHE_CONTROL], "no-cache", "a name may be given to another data set");

    for (uri, code) in [
        ("/v1/datasets/flowers/images/4", "image_not_found"),
        ("/v1/datasets/flowers/images/-1", "not_found"),
        ("/v1/datasets/flowers/images?label=rose", "class_not_found"),
        ("/v1/datasets/trees/images/0", "dataset_not_found"),
        ("/v1/datasets/trees/rejected", "dataset_not_found"),
    ] {
        assert_eq!(api.get(uri).await.problem(), (404, code.to_owned()), "{uri}");
    }
    for uri in ["/v1/datasets?limit=0", "/v1/datasets?cursor=x", "/v1/datasets/flowers/rejected?limit=501"] {
        assert_eq!(api.get(uri).await.problem(), (422, "invalid_field".to_owned()), "{uri}");
    }
    assert_eq!(api.get("/v1/datasets?limit=many").await.problem(), (422, "invalid_query".to_owned()));
}

#[tokio::test]
async fn a_form_names_its_dataset_by_the_file() {
    let api = Api::new().await;
    let head = "--x\r\ncontent-disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--x\r\n\
                content-disposition: form-data; name=\"file\"; filename=\"my-flowers.zip\"\r\n\r\n";
    let form = [head.as_bytes(), &pictures(), b"\r\n--x--\r\n"].concat();
    let first = api.post("/v1/datasets", "multipart/form-data; boundary=x", form.clone()).await.json();
    assert_eq!(first["name"], "my-flowers");
    let second = api.post("/v1/datasets", "multipart/form-data; boundary=x", form).await.json();
    assert!(second["name"].as_str().unwrap().starts_with("dataset-"), "the file's name is taken: {second}");
    assert_eq!(api.settled("my-flowers").await["state"], "ready");
    let empty = "--x\r\ncontent-disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--x--\r\n";
    let answer = api.post("/v1/datasets", "multipart/form-data; boundary=x", empty).await;
    assert_eq!(answer.problem(), (422, "no_file".to_owned()));
}

#[tokio::test]
async fn what_can_not_be_read_leaves_nothing() {
    let api = Api::with(|settings| settings.max_upload_bytes = 2_000).await;
    let cases = [
        ("?name=a", b"hello".to_vec(), 422, "unknown_archive"),
        ("", Vec::new(), 422, "unknown_archive"),
        ("?name=b", vec![0; 2_001], 413, "too_large"),
        ("?name=.b", pictures(), 422, "invalid_field"),
        ("?title=b", pictures(), 202, ""),
    ];
    for (query, body, status, code) in cases {
        let answer = api.post(&format!("/v1/datasets{query}"), "application/zip", body).await;
        if status == 202 {
            assert_eq!(answer.status, 202);
            api.settled(answer.json()["id"].as_str().unwrap()).await;
        } else {
            assert_eq!(answer.problem(), (status, code.to_owned()), "{query}");
        }
    }
    assert!(api.uploads().is_empty());
    assert_eq!(api.get("/v1/datasets").await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_failed_dataset_says_why_and_can_go() {
    let api = Api::new().await;
    let one_class = zip(&[("daisy/1.png", picture(1)), ("daisy/2.png", picture(2)), ("daisy/x.png", b"x".to_vec())]);
    api.post("/v1/datasets?name=flowers", "application/zip", one_class).await;
    let dataset = api.settled("flowers").await;
    assert_eq!((&dataset["state"], &dataset["error"]["code"]), (&"failed".into(), &"too_few_classes".into()));
    assert_eq!(dataset["rejected"][0]["path"], "daisy/x.png");
    assert_eq!(api.get("/v1/datasets/flowers/rejected").await.json()["items"][0]["path"], "daisy/x.png");
    let taken = api.post("/v1/datasets?name=flowers", "application/zip", pictures()).await;
    assert_eq!(taken.problem(), (409, "dataset_name_taken".to_owned()));
    assert_eq!(api.delete("/v1/datasets/flowers").await.status, 204);
    assert_eq!(api.delete("/v1/datasets/flowers").await.problem(), (404, "dataset_not_found".to_owned()));
    let id = api.dataset("flowers").await["id"].as_str().unwrap().to_owned();
    assert!(api.dir.path().join("datasets").join(&id).exists());
    assert_eq!(api.delete("/v1/datasets/flowers").await.status, 204);
    assert!(!api.dir.path().join("datasets").join(&id).exists());
}

#[tokio::test]
async fn the_next_start_takes_up_what_was_interrupted() {
    let api = Api::new().await;
    let (settings, store) = (&api.state.settings, &api.state.store);
    let mut ids = Vec::new();
    for name in ["there", "gone"] {
        let id = Uuid::now_v7();
        let name = name.parse().unwrap();
        let new = NewDataset { id, name, bytes: 1, archive_sha256: String::new(), allowance: None };
        store.insert_dataset(&new, None).await.unwrap();
        ids.push(id);
    }
    let stray = [settings.archive(Uuid::now_v7()), settings.uploads_dir().join("x.part")];
    std::fs::create_dir_all(settings.uploads_dir()).unwrap();
    std::fs::write(settings.archive(ids[0]), pictures()).unwrap();
    stray.iter().for_each(|path| std::fs::write(path, "x").unwrap());

    api.state.ingestor.recover().await.unwrap();
    assert_eq!(api.settled("there").await["state"], "ready");
    assert_eq!(api.settled("gone").await["error"]["code"], "interrupted");
    api.state.ingestor.stop().await;
    assert!(api.uploads().is_empty());
}
